package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/adavit/adavit"
)

// repository holds the models by name and version. Loading one again swaps it in when it has answered its first image;
// the old one goes when its last request has been answered.
type repository struct {
	server  *Server
	loading sync.Mutex // one load at a time: each has a second copy of a model's weights in memory
	mu      sync.RWMutex
	entries []*entry // in the order in which they were named; the slice itself never changes
}

// entry is a model by its name.
type entry struct {
	Source
	versions []*version // by number; nil: not loaded
	state    string     // of the repository index
	reason   string     // why it is not ready, or why the last load failed
}

// States of a model in the repository index.
const (
	stateReady       = "READY"
	stateLoading     = "LOADING"
	stateUnavailable = "UNAVAILABLE"
)

// unloaded is the reason of a model that a client took out of service.
const unloaded = "unloaded"

func newRepository(s *Server, sources []Source) *repository {
	r := &repository{server: s}
	for _, source := range sources {
		r.entries = append(r.entries, &entry{Source: source, state: stateLoading})
	}
	return r
}

// find returns a model's entry; "" is the first.
func (r *repository) find(name string) (*entry, error) {
	if name == "" {
		return r.entries[0], nil
	}
	for _, e := range r.entries {
		if e.Name == name {
			return e, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "there is no model %q; GET /v2/repository/index lists those that there are",
		name)
}

// acquire returns a version of a model, the highest for "", to be released when it is not needed any more.
func (r *repository) acquire(name, number string) (*version, error) {
	e, err := r.find(name)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(e.versions) == 0 {
		why := refuse(http.StatusServiceUnavailable, "model %q is not loaded%s; POST /v2/repository/models/%s/load loads it",
			e.Name, because(e.reason), e.Name)
		why.RetryAfter = 10 * time.Second
		return nil, why
	}
	at := len(e.versions) - 1
	if number != "" {
		at = slices.IndexFunc(e.versions, func(v *version) bool { return strconv.Itoa(v.number) == number })
	}
	if at < 0 {
		return nil, refuse(http.StatusNotFound, "model %q has no version %q; it has %v", e.Name, number, e.numbers())
	}
	e.versions[at].users.Add(1)
	return e.versions[at], nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// numbers lists the versions.
func (e *entry) numbers() []string {
	list := make([]string, len(e.versions))
	for i, v := range e.versions {
		list[i] = strconv.Itoa(v.number)
	}
	return list
}

// load reads a model from its source, tries it, and swaps it in. If anything fails the model stays as it was, and the
// error says why.
func (r *repository) load(ctx context.Context, name string) error {
	e, err := r.find(name)
	if err != nil {
		return err
	}
	r.loading.Lock()
	defer r.loading.Unlock()
	loaded, err := r.read(ctx, e)
	r.mu.Lock()
	old := e.versions
	switch {
	case err == nil:
		e.versions, e.state, e.reason = loaded, stateReady, ""
	case len(old) > 0:
		old, e.reason = nil, "the last load failed, the model from before it answers: "+err.Error()
	default:
		old, e.state, e.reason = nil, stateUnavailable, err.Error()
	}
	r.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("model %s: %w", e.Name, err)
		r.server.log.Error("model not loaded", "model", e.Name, "error", err, "old_one_answers", len(e.versions) > 0)
		return err
	}
	r.server.log.Info("model loaded", "model", e.Name, "versions", e.numbers(), "precision", loaded[0].engine.Precision(),
		"bytes", loaded[0].engine.Bytes())
	r.retire(old)
	return nil
}

// read loads all versions of a model.
func (r *repository) read(ctx context.Context, e *entry) (loaded []*version, err error) {
	models, err := e.open(ctx, adavit.OpenOptions{Log: r.server.log.With("model", e.Name)})
	if err != nil {
		return nil, err
	}
	for number, m := range models {
		v, err := r.server.load(e.Name, number, m)
		if err != nil {
			r.retire(loaded)
			return nil, fmt.Errorf("version %d: %w", number, err)
		}
		loaded = append(loaded, v)
	}
	slices.SortFunc(loaded, func(a, b *version) int { return a.number - b.number })
	return loaded, nil
}

// retire frees versions that nobody can acquire any more, each when its last request is answered.
func (r *repository) retire(old []*version) {
	for _, v := range old {
		r.server.background.Go(func() {
			v.users.Wait()
			v.engine.Close()
		})
	}
}

// unload takes a model out of service.
func (r *repository) unload(name string) error {
	e, err := r.find(name)
	if err != nil {
		return err
	}
	r.loading.Lock()
	defer r.loading.Unlock()
	r.mu.Lock()
	old := e.versions
	e.versions, e.state, e.reason = nil, stateUnavailable, unloaded
	r.mu.Unlock()
	r.server.log.Info("model unloaded", "model", e.Name)
	r.retire(old)
	return nil
}

// reload loads all models again that are in service.
func (r *repository) reload(ctx context.Context) error {
	var errs []error
	for _, e := range r.entries {
		r.mu.RLock()
		in := len(e.versions) > 0 || e.reason != unloaded
		r.mu.RUnlock()
		if in {
			errs = append(errs, r.load(ctx, e.Name))
		}
	}
	return errors.Join(errs...)
}

// Status is a model in the repository index.
type Status struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// index lists all models and versions.
func (r *repository) index(ready bool) []Status {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := []Status{}
	for _, e := range r.entries {
		for _, number := range e.numbers() {
			list = append(list, Status{e.Name, number, e.state, e.reason})
		}
		if len(e.versions) == 0 && !ready {
			list = append(list, Status{e.Name, "", e.state, e.reason})
		}
	}
	return list
}

// ready reports whether the model (a version of it) answers; for "", whether all do that were not unloaded, and one at
// least.
func (r *repository) ready(name, number string) (bool, error) {
	if name == "" {
		r.mu.RLock()
		defer r.mu.RUnlock()
		answering := 0
		for _, e := range r.entries {
			if len(e.versions) == 0 && e.reason != unloaded {
				return false, nil
			}
			answering += len(e.versions)
		}
		return answering > 0, nil
	}
	v, err := r.acquire(name, number)
	if err == nil {
		v.users.Done()
		return true, nil
	}
	if asError(err).Status == http.StatusServiceUnavailable {
		return false, nil
	}
	return false, err
}

// calibrated reports whether a model has a ladder of budgets.
func (r *repository) calibrated() bool {
	return slices.ContainsFunc(r.entries, func(e *entry) bool {
		return slices.ContainsFunc(e.versions, func(v *version) bool { return len(v.model.Ladder) > 0 })
	})
}

// close takes all models out of service.
func (r *repository) close() {
	for _, e := range r.entries {
		r.mu.Lock()
		old := e.versions
		e.versions, e.state, e.reason = nil, stateUnavailable, "the server is closed"
		r.mu.Unlock()
		r.retire(old)
	}
}
