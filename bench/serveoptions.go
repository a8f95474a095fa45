package main

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"time"
)

// serveOptions are the flags of the measurements of servers.
type serveOptions struct {
	serve, overload bool
	models          []string      // as modelToServe knows them; none: the usual ones
	rounds          int           // that each side has its turn
	time            time.Duration // at each rate
	serverCPUs      string        // as taskset takes them
	generatorCPUs   string
	program         string        // adavit; "" is built
	slo             time.Duration // of the overload
	multiples       []int         // N of the overload
	folder          string        // for the overload's table, plots and figures
}

func (o *serveOptions) define(f *flag.FlagSet) (models, multiples *string) {
	f.BoolVar(&o.serve, "serve", false, "measure servers instead: ours beside FastAPI, and write that section of -out")
	f.BoolVar(&o.overload, "overload", false, "measure our server under overload instead, and write -overload-out")
	models = f.String("serve-models", "", "`models` that are served: fashion, and architectures with random weights "+
		"(default fashion,deit-tiny and, with -serve, deit-small)")
	f.IntVar(&o.rounds, "serve-rounds", 3, "`times` that each server has its turn")
	f.DurationVar(&o.time, "serve-time", 10*time.Second, "`time` of a measurement at each rate, after a fifth of it")
	f.StringVar(&o.serverCPUs, "server-cpus", "0", "`list` of the server's CPUs, as taskset takes it")
	f.StringVar(&o.generatorCPUs, "generator-cpus", "1", "`list` of the generator's CPUs")
	f.StringVar(&o.program, "adavit", "", "`program` that is measured (default: built from this repository)")
	f.DurationVar(&o.slo, "slo", 100*time.Millisecond, "`time` within which answers must come under overload")
	multiples = f.String("overload-n", "1,2,3,5", "`multiples` of 0.6 of the capacity")
	f.StringVar(&o.folder, "overload-out", "overload", "`folder` for table, plots and figures of the overload")
	return models, multiples
}

// check settles what the flags leave open.
func (o *serveOptions) check(models, multiples *string) (err error) {
	o.models = list(*models)
	if o.multiples, err = numbers("overload-n", *multiples); err != nil {
		return err
	}
	for _, m := range o.models {
		if _, err := modelToServe(m); err != nil {
			return fmt.Errorf("-serve-models: %w", err)
		}
	}
	switch {
	case o.rounds < 1 || o.time <= 0 || o.slo <= 0:
		return errors.New("-serve-rounds, -serve-time and -slo must be more than 0")
	case o.serverCPUs == "" || o.generatorCPUs == "":
		return errors.New("-server-cpus and -generator-cpus name CPUs")
	case (o.serve || o.overload) && runtime.NumCPU() < 2:
		return errors.New("this machine has one CPU; server and generator want one each")
	}
	return nil
}

// modelsOr are the models that were named, or the usual ones.
func (o serveOptions) modelsOr(usual ...string) []string {
	if len(o.models) > 0 {
		return o.models
	}
	return usual
}
