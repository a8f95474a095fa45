package serve

import (
	"net/http"
	"net/http/pprof"
	"strconv"

	"github.com/adavit/adavit/serve/page"
	"github.com/adavit/adavit/serve/secure"
)

// anyone is the scope of what needs no key.
const anyone = secure.Scope(0)

// Handler returns what the HTTP address serves.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	s.v2(mux)
	s.route(mux, "/v1/classify", secure.Infer, map[string]handler{http.MethodPost: s.classify})
	s.route(mux, "/v1/models", secure.Infer, get(s.list))
	s.route(mux, "/v1/load", secure.Infer, get(s.live))
	s.route(mux, "/metrics", secure.Infer, get(s.metrics.serve))
	document := func(serve http.HandlerFunc) map[string]handler {
		return get(func(w http.ResponseWriter, r *http.Request) error {
			serve(w, r)
			return nil
		})
	}
	s.route(mux, "/openapi.yaml", anyone, document(page.ServeOpenAPI))
	s.route(mux, "/{$}", anyone, document(page.ServeIndex))
	s.rest(mux)
	return mux
}

// adminHandler returns what the admin address serves, which is the operator's alone.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	s.route(mux, "/metrics", anyone, map[string]handler{http.MethodGet: s.metrics.serve})
	s.route(mux, "/reload", secure.Admin, map[string]handler{http.MethodPost: func(w http.ResponseWriter,
		r *http.Request) error {
		if r.URL.RawQuery != "" {
			return refuse(http.StatusBadRequest,
				"all models are loaded again, with the keys and certificates; it takes no query")
		}
		if err := s.controlled(s.Reload(r.Context())); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, map[string]bool{"reloaded": true})
	}})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s.rest(mux)
	return mux
}

// rest answers for all other paths.
func (s *Server) rest(mux *http.ServeMux) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, "other", func(http.ResponseWriter, *http.Request) error {
			return refuse(http.StatusNotFound, "there is nothing at %.200q; GET /openapi.yaml lists the paths", r.URL.Path)
		})
	})
}

// authorize reports whether a key is good for a scope.
func (s *Server) authorize(values []string, scope secure.Scope) error {
	if scope == anyone {
		return nil
	}
	err := s.options.Keys.CheckHeader(values, scope)
	switch {
	case err == nil:
		return nil
	case err == secure.ErrScope:
		return refuse(http.StatusForbidden, "%v", err)
	}
	return refuse(http.StatusUnauthorized, "%v", err)
}

// ModelInfo is a model in GET /v1/models.
type ModelInfo struct {
	Name        string     `json:"name"`
	Version     string     `json:"version"`
	Classes     int        `json:"classes"`
	Layers      int        `json:"layers"`
	Tokens      int        `json:"tokens"`
	Grid        []int      `json:"grid"`
	Adaptive    bool       `json:"adaptive"`
	Precision   string     `json:"precision"`
	DenseBlocks int        `json:"dense_token_blocks"`
	DenseMACs   int64      `json:"dense_macs"`
	Budget      float64    `json:"budget"` // share of the dense token-blocks that an image gets by default
	Ladder      []RungInfo `json:"ladder"`
	Labels      []string   `json:"labels"`
}

// RungInfo is a measured budget of a model.
type RungInfo struct {
	Mean         float64  `json:"mean"`
	Top1         *float64 `json:"top1,omitempty"`
	Agreement    float64  `json:"agreement,omitempty"`
	Milliseconds float64  `json:"ms,omitempty"`
}

// list answers GET /v1/models.
func (s *Server) list(w http.ResponseWriter, _ *http.Request) error {
	models := []ModelInfo{}
	s.models.mu.RLock()
	for _, e := range s.models.entries {
		for _, v := range e.versions {
			models = append(models, s.describe(v))
		}
	}
	s.models.mu.RUnlock()
	return writeJSON(w, http.StatusOK, map[string][]ModelInfo{"models": models})
}

func (s *Server) describe(v *version) ModelInfo {
	c := &v.config
	m := ModelInfo{Name: v.name, Version: strconv.Itoa(v.number), Classes: c.Classes, Layers: c.Layers, Tokens: c.Tokens(),
		Grid: []int{c.GridH(), c.GridW()}, Adaptive: c.Halting.Adaptive(), Precision: string(v.engine.Precision()),
		DenseBlocks: v.dense, DenseMACs: c.MACs(nil), Budget: v.share, Ladder: []RungInfo{},
		Labels: make([]string, c.Classes)}
	if b := s.options.Budget; b.Mean > 0 && len(v.model.Ladder) > 0 {
		m.Budget = v.reach(b.Mean)
	}
	if b := s.options.Budget; b.Max > 0 {
		m.Budget = min(m.Budget, b.Max)
	}
	for _, r := range v.model.Ladder {
		m.Ladder = append(m.Ladder, RungInfo{r.Mean, r.Top1, r.Agreement, r.Milliseconds})
	}
	for i := range m.Labels {
		m.Labels[i] = c.Label(i)
	}
	return m
}
