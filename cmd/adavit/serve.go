package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/internal/cgroup"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/serve"
	"github.com/adavit/adavit/serve/load"
	"github.com/adavit/adavit/serve/secure"
	"github.com/adavit/adavit/serve/systemd"
)

func (a *app) serve() *cobra.Command {
	var o serve.Options
	var models []string
	var budget, overload, control, keys, format string
	var files secure.Files
	maxBody := bytesFlag(64 << 20)
	cmd := &cobra.Command{
		Use:   "serve --model NAME=DIR|NAME",
		Short: "Answer requests over HTTP and gRPC",
		Long: `Serve answers requests: of web browsers and curl with pictures (POST /v1/classify; the page at / shows
how), and of clients of Triton and KServe with tensors or pictures, by the Open Inference Protocol v2 over HTTP and
gRPC. It runs until it gets SIGINT or SIGTERM, then answers what it has begun. SIGHUP reloads models, keys and
certificates.

An image may cost what its request says (compute_budget, compute_budget_max, or the header X-Compute-Budget: MEAN,MAX),
or else --budget. With --slo the server lowers budgets under load, so that 99 of 100 images are answered in time, down
to --budget-min, and then turns images away with status 503; --on-overload=shed turns them away at once,
--on-overload=queue lets them wait. Every answer says what budget it got, why, and what it cost.

A directory whose subdirectories are called 1, 2, … is a model with these versions.`,
		Example: `  adavit serve --model fashion-adaptive            # http://localhost:8080
  adavit serve --model shoes=photos-adaptive --model big=hf:owner/name --slo 100ms
  curl --data-binary @shoe.jpg 'http://localhost:8080/v1/classify'
  curl --data-binary @shoe.jpg -H 'X-Compute-Budget: 0.4' 'http://localhost:8080/v1/classify?depth=png' > depths.png`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			for _, text := range models {
				source, err := serve.ParseSource(text)
				if err != nil {
					return err
				}
				o.Models = append(o.Models, source)
			}
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			if o.Overload, err = load.ParseMode(overload); err != nil {
				return err
			}
			switch control {
			case "explicit", "none":
				o.ModelControl = control == "explicit"
			default:
				return badUsage("--model-control is %q, want explicit or none", control)
			}
			for _, address := range []*string{&o.HTTP, &o.GRPC, &o.Admin} {
				if *address == "off" {
					*address = ""
				}
			}
			if a.json && !cmd.Flags().Changed("log") {
				format = "json"
			}
			o.Log, err = serverLog(a, format)
			if err != nil {
				return err
			}
			if (files.Cert == "") != (files.Key == "") || files.Cert == "" && files.ClientCA != "" {
				return badUsage("--tls-cert and --tls-key go together, and --tls-client-ca with them")
			}
			if files.Cert != "" {
				if o.TLS, err = secure.OpenTLS(files, o.Log); err != nil {
					return err
				}
			}
			if keys != "" {
				if o.Keys, err = secure.OpenKeys(keys, o.Log); err != nil {
					return err
				}
			}
			if err := checkServing(cmd, &o); err != nil {
				return err
			}
			o.Threads, o.Precision, o.MaxBody, o.Version = a.threads, a.precision, int64(maxBody), programVersion()
			return a.runServer(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&models, "model", nil,
		"`NAME=DIR` to serve DIR as NAME, or a bundled model or hf:owner/name; can be repeated")
	f.StringVar(&o.HTTP, "http", ":8080", "`address` for HTTP, or off; port 0 takes a free one")
	f.StringVar(&o.GRPC, "grpc", ":9000", "`address` for gRPC, or off")
	f.StringVar(&o.Admin, "admin", "127.0.0.1:8090", "`address` for metrics, profiles and reloading, or off")
	f.StringVar(&budget, "budget", "", "`MEAN[,MAX]` of images that ask for none (default: the model's own)")
	f.Float64Var(&o.BudgetMin, "budget-min", 0.25, "load lowers no budget below this `share` of the dense model's work")
	f.DurationVar(&o.Objective, "slo", 0, "`time` in which 99 of 100 images are to be answered; 0: none")
	f.StringVar(&overload, "on-overload", "degrade", "`what` to do when there is too little time: degrade, shed or queue")
	f.DurationVar(&o.Timeout, "timeout", 30e9, "most `time` for a request's body to come, and for the rest of it")
	f.Var(&maxBody, "max-body", "most `bytes` of a request's body, such as 64MiB")
	decodingFlags(cmd, &o.Decoding)
	cmd.Flag("max-pixels").Usage += "; or what a quarter of the memory limit holds, at 8 bytes each"
	f.IntVar(&o.MaxQueue, "max-queue", 1024, "most `images` under way at a time")
	f.IntVar(&o.MaxConnections, "max-connections", 10_000, "most open `connections`")
	f.DurationVar(&o.DrainDelay, "drain-delay", 0, "`time` between not being ready and taking nothing more, at the end")
	f.DurationVar(&o.Grace, "grace", 30e9, "`time` for what is under way at the end")
	f.StringVar(&files.Cert, "tls-cert", "",
		"PEM `file` of the certificate, for HTTP and gRPC; read again when it changes")
	f.StringVar(&files.Key, "tls-key", "", "PEM `file` of its private key")
	f.StringVar(&files.ClientCA, "tls-client-ca", "", "PEM `file` of authorities for clients' certificates, then required")
	f.StringVar(&keys, "keys", "", "`file` of bearer keys: lines of a scope, infer or admin, and a key")
	f.StringVar(&control, "model-control", "explicit", "`whether` clients may load and unload models: explicit or none")
	f.StringVar(&format, "log", "text",
		"`form` of the log on standard error: text, json (as with --json), or debug for each request as text; the line "+
			"'serving http=…' looks the same in each")
	return cmd
}

// checkServing refuses flags that cannot be meant, and warns of those that do nothing.
func checkServing(cmd *cobra.Command, o *serve.Options) error {
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	switch {
	case given("timeout") && o.Timeout <= 0:
		return badUsage("--timeout is %v, want a time that a request may take", o.Timeout)
	case o.BudgetMin <= 0:
		return badUsage("--budget-min is %v, want a share above 0", o.BudgetMin)
	}
	if o.Objective == 0 {
		for _, name := range []string{"on-overload", "budget-min"} {
			if given(name) && o.Overload != load.Queue {
				o.Log.Warn("--" + name + " does nothing without --slo")
			}
		}
	} else if o.Objective > o.Timeout {
		o.Log.Warn("--timeout ends requests before --slo is reached", "timeout", o.Timeout, "slo", o.Objective)
	}
	if host, _, err := net.SplitHostPort(o.HTTP); err == nil && o.ModelControl && o.Keys == nil &&
		!net.ParseIP(host).IsLoopback() && host != "localhost" {
		o.Log.Warn("whoever reaches this address may unload models; --keys or --model-control=none prevents it", "http",
			o.HTTP)
	}
	return nil
}

// runServer serves until the context ends.
func (a *app) runServer(ctx context.Context, o serve.Options) error {
	memory := cgroup.LimitMemory()
	if memory > 0 { // JSON takes several times its bytes, and pictures and models need the rest
		o.MaxMemory = max(o.MaxBody, min(16*o.MaxBody, memory/8))
		if o.Decoding.MaxPixels == 0 {
			o.Decoding.MaxPixels = min(memory/4/8, picture.DefaultMaxPixels)
		}
	}
	sockets, err := systemd.Sockets("http", "grpc", "admin")
	if err != nil {
		return err
	}
	o.Listen = func(name, address string) (net.Listener, error) {
		if passed := sockets[name]; len(passed) > 0 {
			return passed[0], nil
		}
		return net.Listen("tcp", address)
	}
	hangup := make(chan os.Signal, 1) // one that comes while models are loaded has them loaded again
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for _, m := range o.Models {
		if err := a.fetch(ctx, m.Path); err != nil {
			return err
		}
	}
	a.bar.end()
	s, err := serve.New(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	// Threads that compute give way every ten milliseconds only; with two more, connections are answered meanwhile.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), s.Threads()+2))
	}
	where := "serving"
	addresses := s.Addresses()
	for _, name := range []string{"http", "grpc", "admin"} {
		if at, ok := addresses[name]; ok {
			where += " " + name + "=" + at
		}
	}
	if host, _, err := net.SplitHostPort(addresses["admin"]); err == nil && !net.ParseIP(host).IsLoopback() {
		o.Log.Warn("the admin address is open to others: it has profiles and reloading, which need no key there",
			"address", addresses["admin"])
	}
	o.Log.Info("starting", "version", o.Version, "threads", s.Threads(), "cpu_quota", cgroup.CPUs(), "memory_limit",
		memory)

	done, told := make(chan error, 1), make(chan struct{})
	go func() {
		<-ctx.Done()
		systemd.Stopping()
		close(told)
	}()
	go func() {
		err := s.Run(ctx)
		if ctx.Err() != nil {
			<-told // before the process ends
		}
		done <- err
	}()
	go systemd.Watchdog(ctx, s.Well)
	fmt.Fprintln(a.err, where)
	if err := systemd.Ready(where); err != nil {
		o.Log.Warn("systemd was not told", "error", err)
	}
	for {
		select {
		case err := <-done:
			return err
		case <-hangup:
			systemd.Reloading()
			if err := s.Reload(ctx); err != nil {
				o.Log.Error("reload", "error", err)
			} else {
				o.Log.Info("reloaded")
			}
			systemd.Ready(where)
		}
	}
}

// serverLog makes the server's log on standard error.
func serverLog(a *app, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.err, nil)), nil
	case "debug":
		return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, nil)), nil
	}
	return nil, badUsage("--log is %q, want text, json or debug", format)
}

// bytesFlag is a flag for a number of bytes, with a unit or without.
type bytesFlag int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}

func (b *bytesFlag) String() string {
	if *b%(1<<20) == 0 {
		return fmt.Sprintf("%dMiB", *b>>20)
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *bytesFlag) Set(text string) error {
	for _, u := range byteUnits {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err != nil || n < 1 || n > (1<<40)/u.size {
				break
			}
			*b = bytesFlag(n * u.size)
			return nil
		}
	}
	return errors.New("want a number of bytes, such as 64MiB")
}

func (*bytesFlag) Type() string { return "bytes" }
