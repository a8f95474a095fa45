package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	stdimage "image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/report"
)

// Classification is what /v1/classify says of a picture.
type Classification struct {
	File  string `json:"file,omitempty"` // the name that the part of a form gives
	Error string `json:"error,omitempty"`

	*classified
}

type classified struct {
	Top         []infer.Prediction `json:"top"`
	TokenBlocks int                `json:"token_blocks"`
	TokenShare  float64            `json:"token_share"` // of the dense model's
	MeanDepth   float64            `json:"mean_depth"`
	Blocks      int                `json:"blocks"`
	MACs        int64              `json:"macs"`
	DenseBlocks int                `json:"dense_token_blocks"`
	DenseMACs   int64              `json:"dense_macs"`
	Applied     float64            `json:"compute_budget_applied"`
	Reason      string             `json:"budget_reason"`
	Max         float64            `json:"compute_budget_max,omitempty"`
	Times       classifyTimes      `json:"times"`
	times       Times

	// With ?depth=json:
	Depth   []int32 `json:"depth,omitempty"` // [N] blocks that each token ran in, the special tokens first
	Grid    []int   `json:"grid,omitempty"`  // rows and columns of patches
	Layers  int     `json:"layers,omitempty"`
	Picture string  `json:"picture,omitempty"` // data: URL of the picture as the model saw it
}

type classifyTimes struct {
	Decode float64 `json:"decode_ms"`
	Queue  float64 `json:"queue_ms"`
	Infer  float64 `json:"inference_ms"`
	Total  float64 `json:"total_ms"`
}

// upload is a picture file of a request.
type upload struct {
	name string
	data []byte
}

// classifyOptions are what the query says.
type classifyOptions struct {
	top    int
	depth  string // "", "png" or "json"
	budget infer.Budget
}

// classify answers POST /v1/classify.
func (s *Server) classify(w http.ResponseWriter, r *http.Request) error {
	o, err := parseClassify(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	v, err := s.models.acquire(q.Get("model"), q.Get("version"))
	if err != nil {
		return err
	}
	defer v.users.Done()
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	files, form, err := uploads(r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	if form && o.depth == "png" {
		return refuse(http.StatusBadRequest, "depth=png answers one picture, sent as the body; use depth=json with a form")
	}
	id := w.Header().Get("X-Request-Id")
	if form {
		results, err := s.classifyForm(r.Context(), v, files, o)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, struct {
			Model   string            `json:"model"`
			Version string            `json:"version"`
			ID      string            `json:"id"`
			Results []*Classification `json:"results"`
		}{v.name, strconv.Itoa(v.number), id, results})
	}
	c, panel, err := s.classifyOne(r.Context(), v, files[0].data, o)
	if err != nil {
		return err
	}
	w.Header().Set("Server-Timing", c.times.header())
	if panel != nil {
		return writePNG(w, panel)
	}
	return writeJSON(w, http.StatusOK, struct {
		Model   string `json:"model"`
		Version string `json:"version"`
		ID      string `json:"id"`
		*classified
	}{v.name, strconv.Itoa(v.number), id, c})
}

// parseClassify reads the query and the budget's header.
func parseClassify(r *http.Request) (o classifyOptions, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return o, refuse(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	for key, values := range q {
		if !slices.Contains([]string{"model", "version", "top", "depth", paramBudget, paramBudgetMax}, key) ||
			len(values) > 1 {
			return o, refuse(http.StatusBadRequest, "parameter %.40q is not known or there twice; GET /openapi.yaml lists them",
				key)
		}
	}
	o.top = 5
	if text := q.Get("top"); text != "" {
		if o.top, err = strconv.Atoi(text); err != nil || o.top < 1 {
			return o, refuse(http.StatusBadRequest, "top is %.40q, want how many classes: 1 or more", text)
		}
	}
	if o.depth = q.Get("depth"); o.depth != "" && o.depth != "png" && o.depth != "json" {
		return o, refuse(http.StatusBadRequest, "depth is %.40q, want png or json", o.depth)
	}
	in := Request{}
	p := Parameters{}
	for _, key := range []string{paramBudget, paramBudgetMax} {
		if q.Has(key) {
			p[key] = q.Get(key)
		}
	}
	if err := p.apply(&in); err != nil {
		return o, err
	}
	err = budgetHeader(r.Header.Get("X-Compute-Budget"), &in)
	o.budget = in.Budget
	return o, err
}

// uploads takes a body apart: one picture, or the parts of a form.
func uploads(contentType string, body []byte) (files []upload, form bool, err error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		if len(body) == 0 {
			return nil, false, refuse(http.StatusBadRequest, "the body is empty; send a picture file, or a form with several")
		}
		return []upload{{"", body}}, false, nil
	}
	const most = 10_000
	parts := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && len(files) == most {
			err = fmt.Errorf("more than %d parts", most)
		}
		if err != nil {
			return nil, true, refuse(http.StatusBadRequest, "the form cannot be read: %v", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, true, refuse(http.StatusBadRequest, "the form cannot be read: %v", err)
		}
		name := part.FileName()
		if name == "" {
			name = part.FormName()
		}
		files = append(files, upload{name, data})
	}
	if len(files) == 0 {
		return nil, true, refuse(http.StatusBadRequest, "no picture in the form")
	}
	return files, true, nil
}

// classifyForm answers the pictures of a form, each by itself: one that cannot be read does not cost the others theirs.
// Where none could be answered for want of time or room, that is the error.
func (s *Server) classifyForm(ctx context.Context, v *version, files []upload, o classifyOptions) ([]*Classification,
	error) {
	results, errs := make([]*Classification, len(files)), make([]*Error, len(files))
	parallel.For(2*s.pool.Threads(), len(files), func(_, i int) {
		c := &Classification{File: files[i].name}
		var err error
		if c.classified, _, err = s.classifyOne(ctx, v, files[i].data, o); err != nil {
			errs[i] = asError(err)
			c.Error = errs[i].Message
		}
		results[i] = c
	})
	if !slices.ContainsFunc(errs, func(e *Error) bool {
		return e == nil || e.Status < 500 &&
			e.Status != statusClientGone
	}) {
		return nil, errs[0]
	}
	return results, nil
}

// classifyOne answers one picture. panel is the picture with its token depths, if that is wanted.
func (s *Server) classifyOne(ctx context.Context, v *version, data []byte, o classifyOptions) (
	c *classified, panel *stdimage.RGBA, err error) {
	begin := time.Now()
	defer func() {
		if err != nil {
			v.stats.failed(time.Since(begin))
			return
		}
		c.times.Total = time.Since(begin)
		c.Times = classifyTimes{milliseconds(c.times.Decode), milliseconds(c.times.Queue), milliseconds(c.times.Infer),
			milliseconds(c.times.Total)}
		v.stats.answered(1, c.times)
	}()
	b, err := s.begin(ctx, v, 1, o.budget, 0, v.decoding.get())
	if err != nil {
		return nil, nil, err
	}
	defer b.end()
	b.keep = o.depth != ""
	if err := b.prepare([][]byte{data}); err != nil {
		return nil, nil, err
	}
	if err := b.run(); err != nil {
		return nil, nil, err
	}
	img := b.images[0]
	if c, err = v.classification(img, o); err != nil {
		return nil, nil, err
	}
	c.times = b.times()
	if o.depth == "png" {
		panel, err = v.panel(img, c)
	}
	return c, panel, err
}

// classification says what an image came to.
func (v *version) classification(img *image, o classifyOptions) (*classified, error) {
	top, err := infer.Top(&v.config, img.Logits, o.top)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "%v", err)
	}
	cost := img.cost()
	c := &classified{Top: top, TokenBlocks: cost.TokenBlocks, MACs: cost.MACs, DenseBlocks: v.dense,
		DenseMACs: v.config.MACs(nil), Applied: cost.Applied, Reason: cost.Reason.String(), Max: o.budget.Max,
		TokenShare: float64(cost.TokenBlocks) / float64(v.dense),
		MeanDepth:  float64(cost.TokenBlocks) / float64(v.config.Tokens()),
		Blocks:     int(halting.End(v.config.Readouts(), img.Depth))}
	if o.depth != "json" {
		return c, nil
	}
	c.Depth, c.Layers = slices.Clone(img.Depth), v.config.Layers
	c.Grid = []int{v.config.GridH(), v.config.GridW()}
	c.Picture, err = v.sample(img).DataURL()
	return c, err
}

// sample is an image with its depths, for pictures of it.
func (v *version) sample(img *image) report.Sample {
	c := &v.config
	patches := make([]int, c.Patches())
	for k, d := range img.Depth[c.Special():] {
		patches[k] = int(d)
	}
	return report.Sample{Pixels: report.Interleave(img.seen, c.Channels, c.Height, c.Width), Width: c.Width,
		Height:   c.Height,
		Channels: c.Channels, Depth: patches, GridW: c.GridW(), GridH: c.GridH(),
		ClassDepth: int(halting.End(c.Readouts(), img.Depth)), Layers: c.Layers}
}

// panel draws an image with its token depths.
func (v *version) panel(img *image, c *classified) (*stdimage.RGBA, error) {
	s := v.sample(img)
	s.Predicted, s.Probability = c.Top[0].Label, c.Top[0].Probability
	return report.Panel(s, max(v.config.Width, v.config.Height, report.PanelSize))
}

// writePNG answers with a picture.
func writePNG(w http.ResponseWriter, img stdimage.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	_, err := w.Write(b.Bytes())
	return clientError(err)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// header is the value of Server-Timing.
func (t Times) header() string {
	return fmt.Sprintf("decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f, total;dur=%.3f", milliseconds(t.Decode),
		milliseconds(t.Queue), milliseconds(t.Infer), milliseconds(t.Total))
}
