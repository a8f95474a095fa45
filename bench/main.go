// Bench times this project's engine side by side with other programs that run the same vision transformers on the same
// cores.
//
//	make bench-peers      everything, half an hour: prints the tables and writes BENCHMARKS.md
//	make bench-peers TORCH=1     with PyTorch 2, which takes six gigabytes and a quarter of an hour more
//	cd bench && go run . -quick -out /dev/null     everything, and little of each
//	cd bench && go run . -models deit-tiny -threads 1 -batches 1 -training none -out /dev/null
//	cd bench && go run . -serve -out ../BENCHMARKS.md      'adavit serve' beside FastAPI: that section of the page
//	cd bench && go run . -overload -overload-out DIR       'adavit serve' asked for more than it can answer
//
// One contest is one model, one number of threads and one batch. All sides of it (ours in each precision, dense and
// with halted tokens; each peer in each precision that it has) load the same weights and are given the same images.
// Then they take turns: a turn is a second of one batch after another, its first batch not counted; nobody else runs
// meanwhile. Every round begins with another side and every other round runs backwards, so that whatever the machine
// does besides falls on all alike. What is compared is the median of a batch's times over all rounds; the spread beside
// a ratio is the smallest and the largest ratio of two sides' medians within one round. The peak that shares are given
// of is the best rate of nothing but multiply-adds, measured between the rounds on as many cores.
//
// Before the clock starts each side's logits are checked against our own float32 ones. A side that computes something
// else ends the program.
//
// # Peers
//
// A peer is a program that loads a model and answers lines of JSON (see process.go): OpenVINO, ONNX Runtime and, if
// -torch asks for it, PyTorch, of the versions in openvino.go and pytorch.go, from PyPI in virtual environments that
// this program makes for itself, and makes anew when the versions change. Raise these before a run that is to be
// published. Each peer runs in float32, and in bfloat16 and its own int8 where it has them, with the fastest of the
// settings that it is tried with. To add one, implement peer in a file of its own, put the program into peers/ and the
// peer into the list in peer.go.
//
// # What stands where
//
// contest.go and statistics.go take the turns and compare, check.go compares logits; ours.go, process.go and peer.go
// are the sides, environment.go installs; model.go makes the model files; parts.go says where our time goes, scaling.go
// what a second thread brings, starts.go how long a whole process takes, memory.go and accuracy.go what else was asked
// for; training.go times training steps; claims.go and floors.go have what was asked for, report.go writes it all down.
// Servers are a world of their own: serve.go, serveoverhead.go and overload.go measure,
// server.go, fastapi.go and generator.go are the programs, servemodel.go makes what they load, servepage.go and
// overloadpage.go write.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	models         []string // variants with random weights
	threads        []int
	batches        []int
	precisions     []string // ours
	rounds         int
	turn           time.Duration
	shares         []float64 // shares of patch tokens that run in each block
	paths          []string  // slower kernels of ours that get a contest of their own
	cache, out     string
	accuracyLimit  int
	training       string          // "all", "none" or the one model whose training is timed
	startModel     string          // the one that whole processes are timed with; "" for none
	torch          bool            // PyTorch is installed and takes part
	venv           string          // folder for the peers' virtual environments
	skip           map[string]bool // names of peers that are left out
	stdout, stderr io.Writer
	changed        []string // flags that were given, as -NAME VALUE, but for ofThisMachine

	serveOptions
}

// run is the whole program; it returns the exit status: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == memoryCommand { // this program, started by itself
		return finish(stderr, reportMemory(stdout, args[1:]))
	}
	if len(args) > 0 && args[0] == trainingMemoryCommand {
		return finish(stderr, reportTrainingMemory(stdout, args[1:]))
	}
	if len(args) > 0 && args[0] == startCommand {
		return finish(stderr, reportStart(stdout, args[1:]))
	}
	o, err := parse(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if o.serve || o.overload {
		return finish(stderr, measureServers(ctx, o))
	}
	return finish(stderr, compare(ctx, o))
}

func finish(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stdout, stderr io.Writer) (options, error) {
	o := options{stdout: stdout, stderr: stderr, skip: map[string]bool{}}
	cache, _ := os.UserCacheDir() // "" asks for the flag
	if cache != "" {
		cache = filepath.Join(cache, "adavit", "bench")
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	models := f.String("models", "deit-tiny,deit-small", "`architectures`, run with random weights")
	threads := f.String("threads", allThreads(), "`numbers` of threads")
	batches := f.String("batches", "1,32", "`numbers` of images in a batch")
	precisions := f.String("precisions", "f32,bf16,int8", "our `precisions`; the accuracy and memory tables run them too")
	paths := f.String("paths", "avxvnni,avx2,portable", "slower `kernels` of ours that get a contest of their own")
	f.StringVar(&o.training, "training", "all", "`model` whose training is timed: deit-tiny, fashion, all or none")
	f.StringVar(&o.startModel, "start", "deit-small", "`model` that whole processes are timed with, if it is run")
	f.BoolVar(&o.torch, "torch", false, "install PyTorch, too, which takes 6 GB")
	quick := f.Bool("quick", false, "three minutes' worth of everything, to see that it works: short turns, one model")
	skip := f.String("skip", "", "`names` of peers to leave out")
	f.IntVar(&o.rounds, "rounds", 7, "`times` that each side has its turn")
	f.DurationVar(&o.turn, "turn", time.Second, "`time` of a turn")
	f.StringVar(&o.venv, "venv", "", "`folder` for the peers' virtual environments (default venv in that of -cache)")
	f.StringVar(&o.cache, "cache", cache, "`folder` for what is installed and made for the runs")
	f.StringVar(&o.out, "out", "BENCHMARKS.md", "`file` for the report")
	f.IntVar(&o.accuracyLimit, "accuracy-images", 0, "test `images` for the accuracy table; 0 means all")
	served, multiples := o.define(f)
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	f.Visit(func(g *flag.Flag) {
		if !slices.Contains(ofThisMachine, g.Name) {
			o.changed = append(o.changed, fmt.Sprintf("-%s %s", g.Name, g.Value))
		}
	})
	if *quick {
		if err := shorten(f); err != nil {
			return o, err
		}
	}
	var err error
	if o.threads, err = numbers("threads", *threads); err != nil {
		return o, err
	}
	if o.batches, err = numbers("batches", *batches); err != nil {
		return o, err
	}
	o.models, o.precisions, o.paths, o.shares = list(*models), list(*precisions), list(*paths), avitTiny()
	for _, name := range list(*skip) {
		if !slices.ContainsFunc(peers(o), func(p peer) bool { return p.name() == name }) {
			return o, fmt.Errorf("-skip: no peer is called %q", name)
		}
		o.skip[name] = true
	}
	switch {
	case o.cache == "":
		return o, errors.New("this system names no cache folder: use -cache DIR")
	case o.training != "all" && o.training != "none" && !slices.ContainsFunc(trainingJobs,
		func(t trainingJob) bool { return t.model == o.training }):
		return o, fmt.Errorf("-training: no training of %q is timed", o.training)
	case len(o.models) == 0:
		return o, errors.New("-models names none")
	case o.rounds < 1 || o.turn <= 0 || o.accuracyLimit < 0:
		return o, errors.New("-rounds and -turn must be more than 0, -accuracy-images not negative")
	}
	if err := o.serveOptions.check(served, multiples); err != nil {
		return o, err
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		return o, err
	}
	if o.venv == "" {
		o.venv = filepath.Join(o.cache, "venv")
	}
	o.venv, err = filepath.Abs(o.venv)
	return o, err
}

// makeCommand is what writes the page.
func (o options) makeCommand() string {
	if o.torch {
		return "make bench-peers TORCH=1"
	}
	return "make bench-peers"
}

// ofThisMachine are flags that say where things lie, not what is measured.
var ofThisMachine = []string{"adavit", "cache", "out", "torch", "venv"}

// butFor says which flags the page was written with that makeCommand has not.
func (o options) butFor() string {
	if len(o.changed) == 0 {
		return ""
	}
	return " with `" + strings.Join(o.changed, " ") + "`"
}

// shorten gives the flags that the user leaves alone values with which everything runs, and little of each.
func shorten(f *flag.FlagSet) error {
	given := map[string]bool{}
	f.Visit(func(g *flag.Flag) { given[g.Name] = true })
	for name, value := range map[string]string{"rounds": "2", "turn": "50ms", "models": "deit-tiny", "start": "deit-tiny",
		"batches": "1,2", "accuracy-images": "200", "training": "fashion"} {
		if given[name] {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// allThreads is "1", and the CPUs that the process may use if they are more.
func allThreads() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return fmt.Sprintf("1,%d", n)
	}
	return "1"
}

// list cuts a list at its commas; empty parts are dropped.
func list(s string) []string {
	var parts []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func numbers(flag, s string) ([]int, error) {
	var all []int
	for _, part := range list(s) {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 1024 {
			return nil, fmt.Errorf("-%s: %q is not a number from 1 to 1024", flag, part)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("-%s names none", flag)
	}
	return all, nil
}
