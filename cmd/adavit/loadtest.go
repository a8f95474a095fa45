package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/adavit/adavit/internal/tools"
)

// loadFlags are the flags of bench that are for servers.
type loadFlags struct {
	set                           *pflag.FlagSet
	o                             tools.LoadOptions
	api, arrivals, budget, output string
	headers                       []string
}

func (l *loadFlags) define() {
	f := l.set
	f.StringVar(&l.o.URL, "url", "",
		"`address` of a server to be loaded, such as http://localhost:8080; --model is then one "+
			"of its models (default: its first)")
	f.Float64SliceVar(&l.o.Rates, "rate", nil, "`requests` a second, or with --find-capacity multiples of the capacity "+
		"(default: 0.5,0.8,1 of the capacity)")
	f.Lookup("rate").DefValue = "" // as above
	f.BoolVar(&l.o.FindCapacity, "find-capacity", false, "measure first how many requests a second the server answers")
	f.DurationVar(&l.o.Duration, "duration", 10*time.Second, "`time` to measure at each rate")
	f.DurationVar(&l.o.Warmup, "warmup", 2*time.Second, "`time` at each rate before that")
	f.StringVar(&l.arrivals, "arrivals", string(tools.Poisson), "`kind` of schedule: poisson or constant")
	f.Uint64Var(&l.o.Seed, "seed", 1, "`number` from which the schedule follows")
	f.StringVar(&l.o.Images, "images", "fashion-mnist",
		"what to send: a `folder` of picture files, one file, or a data set; "+
			"with --api v2 also a .safetensors file of tensors")
	f.StringVar(&l.api, "api", string(tools.APIClassify),
		"`kind` of request: classify (picture files) or v2 (binary tensors)")
	f.StringVar(&l.o.Like, "like", "", "`model` whose preprocessing makes tensors of pictures (default: --model)")
	f.StringVar(&l.budget, "budget", "", budgetUsage)
	f.DurationVar(&l.o.SLO, "slo", 0, "`time` within which an answer must come to count as goodput (default: any)")
	f.DurationVar(&l.o.Timeout, "timeout", 10*time.Second, "`time` after which a request is given up")
	f.IntVar(&l.o.Connections, "connections", 2000, "`number` of connections at most")
	f.StringArrayVar(&l.headers, "header", nil, "a `line` to send with every request, such as 'Authorization: Bearer KEY'")
	f.StringVar(&l.output, "out", "", "`file`.svg for a picture of latency over rate")
}

// alone reports flags that have no effect: those for servers without --url, and those for engines with it.
func (l *loadFlags) alone(cmd *cobra.Command) (err error) {
	remote := l.o.URL != ""
	cmd.Flags().Visit(func(f *pflag.Flag) {
		forServers := l.set.Lookup(f.Name) != nil
		switch {
		case err != nil || f.Name == "url" || f.Name == "model" || f.Name == "batch" || f.Name == "json":
		case forServers && !remote:
			err = badUsage("--%s has no effect without --url", f.Name)
		case !forServers && remote:
			err = badUsage("--%s has no effect with --url: it is the server's affair", f.Name)
		}
	})
	return err
}

// loadTest runs bench --url.
func (a *app) loadTest(ctx context.Context, l *loadFlags, models []string) (err error) {
	if len(models) > 1 {
		return badUsage("--url loads one model at a time, not %s", strings.Join(models, " and "))
	}
	if len(models) == 1 {
		l.o.Model = models[0]
	}
	if l.o.API, err = tools.ParseLoadAPI(l.api); err != nil {
		return err
	}
	if l.o.Arrivals, err = tools.ParseArrivals(l.arrivals); err != nil {
		return err
	}
	if l.o.Budget, err = parseBudget(l.budget); err != nil {
		return err
	}
	if l.o.Like != "" && l.o.API != tools.APIV2 {
		return badUsage("--like has no effect without --api v2")
	}
	if l.output != "" && !strings.EqualFold(filepath.Ext(l.output), ".svg") {
		return badUsage("--out is %q, want a name that ends in .svg", l.output)
	}
	l.o.Header = http.Header{}
	for _, line := range l.headers {
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" || strings.ContainsAny(line, "\r\n") {
			return badUsage("--header is not of the form 'NAME: VALUE'") // without its text, which may be secret
		}
		l.o.Header.Add(strings.TrimSpace(key), strings.TrimSpace(value))
	}
	stage := ""
	l.o.Progress = func(now string, done, total time.Duration) {
		if now != stage {
			stage = now
			a.bar.start(now)
		}
		a.bar.update(int(done.Seconds()), max(int(total.Seconds()), 1))
	}
	r, err := tools.LoadTest(ctx, l.o)
	if err != nil {
		return err
	}
	if l.output != "" {
		if err := r.Chart().WriteSVG(l.output); err != nil {
			return err
		}
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		return err
	}
	return a.show(r, b.String())
}
