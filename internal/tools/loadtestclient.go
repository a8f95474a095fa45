package tools

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/usage"
)

// loadClient makes requests and reads their answers.
type loadClient struct {
	http   *http.Client
	base   string // of the server
	target *url.URL
	api    LoadAPI
	model  string
	header http.Header // of every request; a picture's own is added
	bodies []loadBody
	order  []int // of the bodies, so that neighbours of a data set do not follow each other
}

// loadBody is what a request carries.
type loadBody struct {
	content []byte
	kind    string // Content-Type
	json    int    // of APIV2: how much of it is JSON
}

// maxAnswer bounds the answer to a request.
const maxAnswer = 16 << 20

// newLoadClient reads the pictures and makes sure by one request that the server answers.
func newLoadClient(ctx context.Context, o *LoadOptions) (*loadClient, error) {
	transport := &http.Transport{
		DialContext:     o.dial, // and no proxy: it would be measured, too
		MaxConnsPerHost: o.Connections, MaxIdleConnsPerHost: o.Connections, DisableCompression: true,
	}
	c := &loadClient{base: o.URL, api: o.API, model: o.Model, header: http.Header{}, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	maps.Copy(c.header, o.Header)
	err := c.prepare(ctx, o)
	if err == nil {
		err = c.probe(ctx, o.Timeout)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// prepare makes the target and the bodies.
func (c *loadClient) prepare(ctx context.Context, o *LoadOptions) (err error) {
	path := "/v1/classify"
	if c.api == APIV2 {
		if c.model == "" {
			if c.model, err = c.onlyModel(ctx, o.Timeout); err != nil {
				return err
			}
		}
		path = "/v2/models/" + url.PathEscape(c.model) + "/infer"
	} else {
		query := url.Values{"top": {"5"}}
		if c.model != "" {
			query.Set("model", c.model)
		}
		path += "?" + query.Encode()
		if text := budgetText(o.Budget); text != "" {
			c.header.Set("X-Compute-Budget", text)
		}
	}
	if c.target, err = url.Parse(c.base + path); err != nil {
		return err
	}
	if c.api == APIV2 {
		c.bodies, err = tensorBodies(ctx, *o, c.model)
	} else {
		c.bodies, err = pictureBodies(ctx, o.Images)
	}
	c.order = newOrder(len(c.bodies), o.Seed)
	return err
}

func (c *loadClient) close() { c.http.CloseIdleConnections() }

// budgetText is a budget as --budget and X-Compute-Budget write it; "" for none.
func budgetText(b adavit.Budget) string {
	switch {
	case b == adavit.Budget{}:
		return ""
	case b.Max == 0:
		return shortNumber(b.Mean)
	}
	return shortNumber(b.Mean) + "," + shortNumber(b.Max)
}

func shortNumber(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

// probe sends one request, whose failure is the caller's: a wrong address, or a server that does not know the model.
func (c *loadClient) probe(ctx context.Context, timeout time.Duration) error {
	var w loadWorker
	out := w.send(ctx, c, 0, time.Now().Add(timeout))
	if err := ctx.Err(); err != nil {
		return err
	}
	switch out.kind {
	case statusOK:
		c.model = cmp.Or(out.model, c.model)
		return nil
	case answerRefused, answerBroken:
		return fmt.Errorf("cannot reach %s: %s; is a server running there ('adavit serve')?", c.base, out.message)
	case answerTimeout:
		return fmt.Errorf("%s does not answer a request within the timeout of %v", c.base, timeout)
	case answerGarbled:
		return fmt.Errorf("%s answers what no adavit server would: %s", c.target, out.message)
	}
	return fmt.Errorf("%s answers with status %s: %s", c.target, out.kind, out.message)
}

// onlyModel asks the server for its models.
func (c *loadClient) onlyModel(ctx context.Context, timeout time.Duration) (string, error) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v2/repository/index", strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	r.Header = c.header.Clone()
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return "", fmt.Errorf("cannot reach %s: %w; is a server running there ('adavit serve')?", c.base, unwrapURL(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	var models []struct{ Name string }
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(text, &models) != nil || len(models) == 0 {
		return "", usage.Errorf("%s does not list its models (status %d): name one by --model", c.base, answer.StatusCode)
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 1 {
		return "", usage.Errorf("%s has the models %s: choose one by --model", c.base, strings.Join(names, ", "))
	}
	return names[0], nil
}

// unwrapURL leaves out what every error of an HTTP client begins with: method and address.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// What became of a request, besides statuses.
const (
	statusOK      = "200"
	answerTimeout = "timeout" // no answer in time
	answerRefused = "refused" // no connection
	answerBroken  = "broken"  // the connection ended, or something else than HTTP came
	answerGarbled = "garbled" // 200 with something else than the API's JSON
	answerUnsent  = "unsent"  // no free connection in time
	answerNone    = ""        // the test was stopped
)

// outcome is what became of one request.
type outcome struct {
	kind    string // a status, or answerTimeout, …
	message string // of anything but success
	model   string
	budget  *float64 // that was applied, where the server says so
	reason  string
	infer   time.Duration // the server's figure for inference; 0: it gives none
}

// loadWorker has one request under way at a time.
type loadWorker struct{ buffer bytes.Buffer }

// send sends request n and reads its answer until the deadline.
func (w *loadWorker) send(ctx context.Context, c *loadClient, n int, deadline time.Time) outcome {
	body := c.bodies[c.order[n%len(c.order)]]
	within, stop := context.WithDeadline(ctx, deadline)
	defer stop()
	r := (&http.Request{Method: http.MethodPost, URL: c.target, Host: c.target.Host, Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1, Header: maps.Clone(c.header), ContentLength: int64(len(body.content))}).WithContext(within)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.content)), nil }
	r.Body, _ = r.GetBody()
	r.Header.Set("Content-Type", body.kind)
	if c.api == APIV2 {
		r.Header.Set(inferenceHeaderLength, strconv.Itoa(body.json))
	}
	answer, err := c.http.Do(r)
	if err == nil {
		w.buffer.Reset()
		_, err = w.buffer.ReadFrom(io.LimitReader(answer.Body, maxAnswer))
		answer.Body.Close()
	}
	var refused syscall.Errno
	switch {
	case ctx.Err() != nil:
		return outcome{kind: answerNone}
	case err != nil && within.Err() != nil:
		return outcome{kind: answerTimeout, message: "no answer in time"}
	case errors.As(err, &refused) && refused == syscall.ECONNREFUSED:
		return outcome{kind: answerRefused, message: unwrapURL(err).Error()}
	case err != nil:
		return outcome{kind: answerBroken, message: unwrapURL(err).Error()}
	}
	return w.read(c.api, answer)
}

// inferenceHeaderLength says how much of a body with binary tensors is JSON.
const inferenceHeaderLength = "Inference-Header-Content-Length"

// read judges an answer whose body is in the buffer.
func (w *loadWorker) read(api LoadAPI, answer *http.Response) outcome {
	text := w.buffer.Bytes()
	if n, err := strconv.Atoi(answer.Header.Get(inferenceHeaderLength)); err == nil && n >= 0 && n <= len(text) {
		text = text[:n]
	}
	var said struct {
		Error      string
		Model      string
		ModelName  string   `json:"model_name"`
		Budget     *float64 `json:"compute_budget_applied"`
		Reason     string   `json:"budget_reason"`
		Parameters struct {
			Budget *float64 `json:"compute_budget_applied"`
			Reason string   `json:"budget_reason"`
		}
	}
	err := json.Unmarshal(text, &said)
	out := outcome{kind: strconv.Itoa(answer.StatusCode)}
	switch {
	case answer.StatusCode != http.StatusOK:
		if out.message = said.Error; err != nil || said.Error == "" {
			out.message = shortText(text)
		}
	case err != nil:
		out = outcome{kind: answerGarbled, message: shortText(text)}
	case api == APIV2:
		out.model, out.budget, out.reason = said.ModelName, said.Parameters.Budget, said.Parameters.Reason
	default:
		out.model, out.budget, out.reason = said.Model, said.Budget, said.Reason
	}
	if out.kind == statusOK {
		out.infer = inferTime(answer.Header.Get("Server-Timing"))
	}
	return out
}

// inferTime finds what a Server-Timing header says of inference; 0 if nothing.
func inferTime(header string) time.Duration {
	for part := range strings.SplitSeq(header, ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(part), "infer;dur="); ok {
			ms, err := strconv.ParseFloat(text, 64)
			if err == nil && ms > 0 && ms < maxLoadTime.Seconds()*1000 {
				return time.Duration(ms * float64(time.Millisecond))
			}
		}
	}
	return 0
}

// shortText is the beginning of an answer, for a message.
func shortText(text []byte) string {
	if len(text) == 0 {
		return "nothing"
	}
	const most = 200
	return strconv.Quote(string(text[:min(len(text), most)]))
}

// appendFloats appends numbers as the binary tensor extension has them, little endian.
func appendFloats(b []byte, values []float32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
