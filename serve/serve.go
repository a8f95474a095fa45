// Package serve answers requests for inference over HTTP and gRPC: the Open Inference Protocol with Triton's
// extensions, and plain pictures for people. What an answer may cost is chosen by the client, bounded, and told; under
// load budgets are lowered before anybody is sent away.
//
// A request of any interface becomes a Request (tensors) or pictures, and takes the same way: a version of a model is
// acquired (repository.go), the images are admitted (control.go), decoded (infer.go), queued in the pool that all
// models share, given a budget just before they run, and answered in the form that the interface has (v2.go,
// classify.go, grpc.go).
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/serve/bound"
	"github.com/adavit/adavit/serve/load"
	"github.com/adavit/adavit/serve/secure"
)

// Options say what is served and how. Models are required; New gives zeros their defaults.
type Options struct {
	Models            []Source
	HTTP, GRPC, Admin string // addresses; "": not served

	Threads   int // that compute; 0 for the CPUs that the process may use
	Precision infer.Precision

	Budget    infer.Budget  // of an image whose request asks for none
	BudgetMin float64       // load lowers no budget below it; 0: 0.25
	Objective time.Duration // for 99 of 100 images, from arrival to answer; 0: none
	Overload  load.Mode

	Timeout        time.Duration // most time for a request; 0: 30 s
	MaxBody        int64         // bytes; 0: 64 MiB
	MaxQueue       int           // images admitted at a time; 0: 1024
	MaxConnections int           // 0: 10 000, as far as the process may have them
	MaxMemory      int64         // bytes that all bodies under way may hold; 0: 16 · MaxBody
	Decoding       picture.Decoding

	DrainDelay time.Duration // from not being ready to taking nothing more
	Grace      time.Duration // for what is under way then; 0: 30 s

	TLS          *secure.TLS                                      // nil: none
	Keys         *secure.Keys                                     // nil: everybody may do everything
	ModelControl bool                                             // clients may load and unload models
	Listen       func(name, address string) (net.Listener, error) // by name http, grpc or admin; nil: net.Listen
	Version      string                                           // of the program
	Log          *slog.Logger                                     // nil: none
}

// withDefaults checks the options and fills in defaults.
func (o Options) withDefaults() (Options, error) {
	defaults := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	defaults(&o.Timeout, 30*time.Second)
	defaults(&o.Grace, 30*time.Second)
	if o.BudgetMin == 0 {
		o.BudgetMin = 0.25
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 1024
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 10_000
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = 16 * o.MaxBody
	}
	if o.Decoding.MaxPixels == 0 {
		o.Decoding.MaxPixels = picture.DefaultMaxPixels
	}
	if o.Listen == nil {
		o.Listen = func(_, address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(o.Models) == 0:
		return o, usage.Errorf("no model to serve")
	case !(o.BudgetMin > 0 && o.BudgetMin <= 1):
		return o, usage.Errorf("the least budget is %v, want a share of the dense model's work, above 0 and at most 1",
			o.BudgetMin)
	case min(o.Timeout, o.Grace, o.DrainDelay, o.Objective) < 0:
		return o, usage.Errorf("a time is negative: --timeout %v, --grace %v, --drain-delay %v, --slo %v", o.Timeout, o.Grace,
			o.DrainDelay, o.Objective)
	case o.Budget.Mean > 0 && o.BudgetMin > o.Budget.Mean && o.Objective > 0:
		return o, usage.Errorf("--budget-min %v is more than --budget %v: load could lower nothing", o.BudgetMin,
			o.Budget.Mean)
	case o.MaxBody < 0 || o.MaxQueue < 0 || o.MaxConnections < 0 || o.MaxMemory < o.MaxBody:
		return o, usage.Errorf("a limit is negative, or bodies may hold less memory in all than one of them")
	case o.HTTP == "" && o.GRPC == "":
		return o, usage.Errorf("neither HTTP nor gRPC is to be served")
	}
	if err := o.Decoding.Check(); err != nil {
		return o, usage.Wrap(err)
	}
	for _, a := range [][2]string{{"http", o.HTTP}, {"grpc", o.GRPC}, {"admin", o.Admin}} {
		if err := checkAddress(a[0], a[1]); err != nil {
			return o, err
		}
	}
	seen := map[string]bool{}
	for _, m := range o.Models {
		if seen[m.Name] {
			return o, usage.Errorf("two models are called %q", m.Name)
		}
		seen[m.Name] = true
	}
	return o, nil
}

// checkAddress reports an address that cannot be one, before models are loaded for nothing.
func checkAddress(name, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usage.Errorf("--%s is %q, want HOST:PORT or :PORT, such as :8080, or off", name, address)
	}
	return nil
}

// Server serves models. New makes one.
type Server struct {
	options  Options
	log      *slog.Logger
	started  time.Time
	pool     *pool.Pool
	control  *load.Controller
	models   *repository
	metrics  *metrics
	memory   *memory
	decoders *decoders
	admitted atomic.Int64 // images
	planned  []*load.Item // plan's, under the pool's lock
	draining atomic.Bool

	background  sync.WaitGroup
	connections *bound.Connections
	listeners   []listener
}

// listener is an address that is served.
type listener struct {
	name string // http, grpc or admin
	net.Listener
	serve func(net.Listener) error
	stop  func(context.Context)
}

// New loads the models, tries each on an image, and opens the addresses: whoever connects from now on is answered once
// Run is called. Errors of options wrap usage.Err.
func New(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, log: o.Log, started: time.Now(), memory: &memory{most: o.MaxMemory},
		connections: bound.NewConnections(o.MaxConnections)}
	s.pool, err = pool.New(pool.Options{Threads: o.Threads, Plan: s.plan, Ran: s.ran})
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// start loads the models and opens the addresses.
func (s *Server) start(ctx context.Context) (err error) {
	o := s.options
	s.decoders = newDecoders(s.pool.Threads(), o.Decoding.MaxPixels, o.MaxMemory)
	s.control, err = load.New(load.Options{Workers: s.pool.Threads(), Team: infer.MaxTeam, Objective: o.Objective,
		Mode: o.Overload})
	if err != nil {
		return err
	}
	s.models = newRepository(s, o.Models)
	s.metrics = newMetrics(s)
	s.memory.refused = func() { s.metrics.shed(shedMemory, 1) }
	for _, m := range o.Models {
		if err := s.models.load(ctx, m.Name); err != nil {
			return err
		}
	}
	if o.Budget.Mean > 0 && !s.models.calibrated() {
		return usage.Errorf("--budget: %w; 'adavit calibrate' measures a ladder where tokens halt", infer.ErrNoLadder)
	}
	return s.listen()
}

// listen opens the addresses.
func (s *Server) listen() error {
	for _, l := range []struct{ name, address string }{{"http", s.options.HTTP}, {"grpc", s.options.GRPC},
		{"admin", s.options.Admin}} {
		if l.address == "" {
			continue
		}
		in, err := s.options.Listen(l.name, l.address)
		if err != nil {
			return fmt.Errorf("--%s: %w", l.name, err)
		}
		if l.name != "admin" { // the operator gets in whatever the clients do
			in = s.connections.Listen(in)
		}
		var serve func(net.Listener) error
		var stop func(context.Context)
		switch l.name {
		case "http":
			serve, stop = s.serveHTTP(s.Handler(), s.options.TLS)
		case "grpc":
			serve, stop = s.serveGRPC()
		case "admin":
			serve, stop = s.serveHTTP(s.adminHandler(), nil)
		}
		s.listeners = append(s.listeners, listener{l.name, in, serve, stop})
	}
	return nil
}

// Threads returns how many threads compute.
func (s *Server) Threads() int { return s.pool.Threads() }

// Well returns an error if the engine does not answer: every model runs an image, in front of all that wait.
func (s *Server) Well(ctx context.Context) error {
	for _, e := range s.models.entries {
		v, err := s.models.acquire(e.Name, "")
		if err != nil {
			continue // which is no fault of the process
		}
		j := pool.Job{Context: ctx, Pixels: make([]float32, v.config.ImageLen()), Deadline: s.started}
		err = v.engine.Run(&j)
		v.users.Done()
		if err = errors.Join(err, j.Err); err != nil {
			return err
		}
	}
	return nil
}

// Addresses returns where the server listens, by http, grpc and admin.
func (s *Server) Addresses() map[string]string {
	all := map[string]string{}
	for _, l := range s.listeners {
		all[l.name] = l.Addr().String()
	}
	return all
}

// serveHTTP returns functions that serve h, and end that when what is under way is answered or the context ends.
func (s *Server) serveHTTP(h http.Handler, tls *secure.TLS) (serve func(net.Listener) error,
	stop func(context.Context)) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         s.connections.State,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	serve = func(l net.Listener) error {
		if tls != nil {
			server.TLSConfig = tls.Config("h2", "http/1.1")
			return server.ServeTLS(l, "", "")
		}
		return server.Serve(l)
	}
	stop = func(ctx context.Context) {
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	}
	return serve, stop
}

// Run serves until ctx ends or an address fails. Then the server is not ready any more, takes nothing more after the
// drain delay, and answers what is under way within the grace time: nil if it did.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		serving.Go(func() {
			if err := l.serve(l.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", l.name, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.draining.Store(true)
	s.log.Info("draining", "delay", s.options.DrainDelay, "in_flight", s.admitted.Load())
	if err == nil {
		select {
		case <-time.After(s.options.DrainDelay):
		case err = <-failed:
		}
	}
	grace, cancel := context.WithTimeout(context.Background(), s.options.Grace)
	defer cancel()
	var stopping sync.WaitGroup
	for _, l := range s.listeners {
		stopping.Go(func() { l.stop(grace) })
	}
	stopping.Wait()
	serving.Wait()
	if err == nil && grace.Err() != nil {
		err = fmt.Errorf("not everything was answered within the grace time of %v", s.options.Grace)
	}
	return err
}

// Reload reads keys, certificates and all models again; what cannot be read stays as it was, and is in the error.
func (s *Server) Reload(ctx context.Context) error {
	err := s.options.Keys.Reload()
	if s.options.TLS != nil {
		err = errors.Join(err, s.options.TLS.Reload())
	}
	return errors.Join(err, s.models.reload(ctx))
}

// Close frees what the server has. Run must have returned, or never been called.
func (s *Server) Close() {
	for _, l := range s.listeners {
		l.Close()
	}
	if s.models != nil {
		s.models.close()
	}
	s.background.Wait()
	s.pool.Close()
}
