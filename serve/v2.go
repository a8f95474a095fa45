package serve

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/serve/secure"
)

// extensions are those of the protocol that this server has.
var extensions = []string{"binary_tensor_data", "classification", "schedule_policy", "model_repository", "statistics",
	"parameters"}

// headerLength is where the binary tensor extension says how many bytes of a body are JSON.
const headerLength = "Inference-Header-Content-Length"

// v2 adds the Open Inference Protocol's paths.
func (s *Server) v2(mux *http.ServeMux) {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	post := func(h handler) map[string]handler { return map[string]handler{http.MethodPost: h} }
	s.route(mux, "/v2", anyone, get(func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, http.StatusOK, map[string]any{"name": "adavit", "version": s.options.Version,
			"extensions": extensions})
	}))
	s.route(mux, "/v2/health/live", anyone, get(func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	}))
	s.route(mux, "/v2/health/ready", anyone, get(func(w http.ResponseWriter, _ *http.Request) error {
		ready, err := s.Ready("", "")
		return writeReady(w, ready, err)
	}))
	s.route(mux, "/v2/repository/index", secure.Infer, post(s.repositoryIndex))
	s.route(mux, "/v2/repository/models/", secure.Admin, post(s.repositoryModel))
	s.route(mux, "/v2/models", secure.Infer, get(func(w http.ResponseWriter, _ *http.Request) error {
		names := []string{}
		for _, e := range s.models.entries {
			names = append(names, e.Name)
		}
		return writeJSON(w, http.StatusOK, map[string][]string{"models": names})
	}))
	s.route(mux, "/v2/models/", secure.Infer, map[string]handler{http.MethodGet: s.modelGet, http.MethodPost: s.modelPost})
}

func writeReady(w http.ResponseWriter, ready bool, err error) error {
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	return writeJSON(w, status, map[string]bool{"ready": ready})
}

// modelPath takes a path below prefix apart: NAME[/versions/VERSION][/what]. A name may have slashes, as those of
// models from a hub do.
func modelPath(r *http.Request, prefix string, whats ...string) (name, version, what string, err error) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), prefix), "/")
	for _, w := range whats {
		if rest, ok := strings.CutSuffix(path, "/"+w); ok {
			path, what = rest, w
			break
		}
	}
	if at := strings.LastIndex(path, "/versions/"); at >= 0 {
		path, version = path[:at], path[at+len("/versions/"):]
	}
	if name, err = url.PathUnescape(path); err != nil || strings.Contains(version, "/") || name == "" {
		return "", "", "", refuse(http.StatusNotFound, "there is nothing at %.200q; GET /openapi.yaml lists the paths",
			r.URL.Path)
	}
	return name, version, what, nil
}

// modelGet answers what a model is, whether it is ready, and what it has done.
func (s *Server) modelGet(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path == "/v2/models/stats" {
		stats, err := s.Statistics("", "")
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, stats)
	}
	name, version, what, err := modelPath(r, "/v2/models/", "ready", "config", "stats", "infer")
	if err != nil {
		return err
	}
	var answer any
	switch what {
	case "ready":
		ready, err := s.Ready(name, version)
		return writeReady(w, ready, err)
	case "stats":
		answer, err = s.Statistics(name, version)
	case "config":
		answer, err = s.Config(name, version)
	case "infer":
		e := refuse(http.StatusMethodNotAllowed, "GET does not work here; use POST with the tensors in the body")
		e.Allow = http.MethodPost
		return e
	default:
		answer, err = s.Metadata(name, version)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// modelPost is inference.
func (s *Server) modelPost(w http.ResponseWriter, r *http.Request) error {
	name, version, what, err := modelPath(r, "/v2/models/", "infer", "ready", "config", "stats")
	if err != nil {
		return err
	}
	if what != "infer" {
		e := refuse(http.StatusMethodNotAllowed, "POST does not work here; use GET, or POST to …/infer")
		e.Allow = "GET, HEAD"
		return e
	}
	if _, err := s.Ready(name, version); err != nil { // before a large body is read for nothing
		return err
	}
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	var in Request
	var binary map[string]bool
	var ignored []string
	switch text := r.Header.Get(headerLength); text {
	case "":
		in, binary, ignored, err = parseV2(body, -1)
	case "0": // the whole body is one picture file
		in = Request{Inputs: []Tensor{{Name: inputImage, Datatype: Bytes, Shape: []int64{1}, Bytes: [][]byte{body}}}}
	default:
		header, numberErr := strconv.Atoi(text)
		if numberErr != nil || header < 0 {
			return refuse(http.StatusBadRequest, "%s is %.40q, want how many bytes of the body are JSON", headerLength, text)
		}
		in, binary, ignored, err = parseV2(body, header)
	}
	if err != nil {
		return err
	}
	in.Model, in.Version = name, version
	for key := range r.URL.Query() { // parameters belong into the body
		ignored = append(ignored, key)
	}
	if err := budgetHeader(r.Header.Get("X-Compute-Budget"), &in); err != nil {
		return err
	}
	resp, err := s.Infer(r.Context(), &in)
	if err != nil {
		return err
	}
	out, header, err := appendV2(resp, binary, ignored)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if header >= 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(headerLength, strconv.Itoa(header))
	}
	h.Set("Content-Length", strconv.Itoa(len(out)))
	h.Set("Server-Timing", resp.Times.header())
	_, err = w.Write(out)
	return clientError(err)
}

// budgetHeader reads the value of X-Compute-Budget, if there is one; what the body says goes before it.
func budgetHeader(text string, in *Request) error {
	if text == "" {
		return nil
	}
	b, err := infer.ParseBudget(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "X-Compute-Budget is %v", err)
	}
	if in.Budget.Mean == 0 {
		in.Budget.Mean = b.Mean
	}
	if in.Budget.Max == 0 {
		in.Budget.Max = b.Max
	}
	return nil
}

// repositoryIndex lists the models.
func (s *Server) repositoryIndex(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Ready bool `json:"ready"`
	}
	if err := s.optionalJSON(w, r, &in); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.models.index(in.Ready))
}

// repositoryModel loads a model or takes it out of service.
func (s *Server) repositoryModel(w http.ResponseWriter, r *http.Request) error {
	name, version, what, err := modelPath(r, "/v2/repository/models/", "load", "unload")
	if err != nil {
		return err
	}
	var in struct {
		Parameters map[string]json.RawMessage `json:"parameters"`
	}
	if err := s.optionalJSON(w, r, &in); err != nil {
		return err
	}
	for key := range in.Parameters {
		if err := checkLoading(key); err != nil {
			return err
		}
	}
	if version != "" || what == "" {
		return refuse(http.StatusNotFound, "use /v2/repository/models/NAME/load or /unload: all versions go together")
	}
	if what == "load" {
		err = s.Load(r.Context(), name)
	} else {
		err = s.Unload(name)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// checkLoading refuses a parameter with which a client would have a model loaded in a way of its own.
func checkLoading(parameter string) error {
	if parameter == "unload_dependents" {
		return nil
	}
	return refuse(http.StatusBadRequest,
		"parameter %.40q: a model is loaded from where the server was told it is, as it is there", parameter)
}

// optionalJSON reads a body that may be empty.
func (s *Server) optionalJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	if len(body) == 0 {
		return nil
	}
	if err := strictjson.Unmarshal(body, v); err != nil {
		return refuse(http.StatusBadRequest, "the body is not as the protocol has it: %v", err)
	}
	return nil
}
