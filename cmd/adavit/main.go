package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/hub"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

//go:generate go test -count=1 -run ^TestManual$ . -update

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what all commands share: streams and common flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	bar      *progress
	log      *slog.Logger // to err, in the bar's place

	threads   int
	precision infer.Precision
	json      bool
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (status int) {
	a := &app{in: in, out: visibleWriter{out}, err: visibleWriter{errs}, bar: newProgress(errs)}
	a.log = slog.New(slog.NewTextHandler(a.bar, nil))
	defer func() {
		if p := recover(); p != nil {
			a.bar.end()
			fmt.Fprintf(errs, "adavit: internal error: %v\n"+
				"This is a bug in adavit; please report it with the command line and the files that brought it about.\n", p)
			status = exitFailed
		}
	}()
	root := a.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	a.bar.end()
	if err == nil {
		return exitDone
	}
	what := strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
	fmt.Fprintf(a.err, "%s: %s\n", cmd.CommandPath(), what)
	if errors.Is(err, infer.ErrNoLadder) {
		fmt.Fprintln(errs, "To cap what each image costs instead, say --budget 0,MAX.")
	}
	if errors.Is(err, adavit.ErrUsage) {
		fmt.Fprintf(errs, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "adavit",
		Short: "Vision transformers that compute only the tokens that matter",
		Long: `Adavit trains, measures and runs vision transformers whose tokens stop being computed once the model has
learnt enough from them.

New here? Run 'adavit demo': it needs no download and no flag.

Results go to standard output, everything else to standard error. The exit status is 0 when all was done, 1 when
something failed, and 2 when the command line was wrong.`,
		Version:       programVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
				hint = "; did you mean " + strings.Join(similar, " or ") + "?"
			} else if args[0] == "version" {
				hint = "; did you mean --version?"
			}
			return badUsage("there is no command %q%s", args[0], hint)
		},
		RunE: func(*cobra.Command, []string) error {
			return badUsage("no command given; 'adavit demo' is a good first one")
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badFlag(err) })
	root.Flags().Bool("version", false, "print the program's version") // cobra's own would take -v as well
	f := root.PersistentFlags()
	f.IntVar(&a.threads, "threads", 0, "`number` of threads (default: the CPUs that the process may use)")
	precision := f.String("precision", "auto", "`kind` of arithmetic: f32, bf16, int8 or auto")
	f.BoolVar(&a.json, "json", false, "print one JSON object")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if a.precision, err = infer.ParsePrecision(*precision); err != nil {
			return usage.Wrap(err)
		}
		return checkFlags(cmd)
	}
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [command]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return badUsage("there is no command %q to explain", strings.Join(args, " "))
			}
			return about.Help()
		},
	})
	root.AddCommand(a.demo(), a.classify(), a.eval(), a.train(), a.compare(), a.augment(), a.predict(), a.preprocess(),
		a.convert(), a.inspect(), a.calibrate(), a.bench(), a.serve())
	for _, cmd := range append(root.Commands(), root) {
		cmd.Long = fill(cmd.Long)
		if cmd.Args == nil {
			cmd.Args = arguments(0, "")
		}
	}
	wrapped := fmt.Sprint(".FlagUsagesWrapped ", helpWidth)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", wrapped))
	return root
}

// helpWidth is how wide the lines of help may be.
const helpWidth = 100

// fill breaks the paragraphs of a help text into lines of helpWidth. Those that are indented stay as they are.
func fill(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") {
			continue
		}
		var lines []string
		line := ""
		for word := range strings.FieldsSeq(p) {
			if line != "" && utf8.RuneCountInString(line+" "+word) > helpWidth {
				lines = append(lines, line)
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		paragraphs[i] = strings.Join(append(lines, line), "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

// badUsage makes an error that ends the program with status 2.
func badUsage(format string, args ...any) error { return usage.Errorf(format, args...) }

// flagKinds says what flags of a type want, for Go's parsers name themselves and not what they parse.
var flagKinds = map[string]string{
	"bool": "true or false", "int": "a whole number", "uint64": "a whole number, 0 or more", "float64": "a number",
	"intSlice": "whole numbers, with commas between them", "float64Slice": "numbers, with commas between them",
	"duration": "a time such as 100ms, 2s or 5m",
}

// badFlag is badUsage for what the flags' own parser says.
func badFlag(err error) error {
	if bad := new(pflag.InvalidValueError); errors.As(err, &bad) {
		if kind, ok := flagKinds[bad.GetFlag().Value.Type()]; ok && !errors.Is(err, strconv.ErrRange) {
			return badUsage("invalid argument %q for --%s, want %s", bad.GetValue(), bad.GetFlag().Name, kind)
		}
	}
	return badUsage("%v", err)
}

// arguments checks that a command has n arguments, which are called what.
func arguments(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < n:
			return badUsage("missing argument: %s", what)
		case len(args) > n && n == 0:
			return badUsage("unexpected argument %q", args[0])
		case len(args) > n:
			return badUsage("unexpected argument %q after %s", args[n], what)
		}
		return nil
	}
}

// checkFlags reports the first flag that a command needs and that has no value, that was set to nothing (as by a
// shell's variable that is not there), or a count that was set below 1; flags that are not set have a meaning of their
// own.
func checkFlags(cmd *cobra.Command) (err error) {
	for _, name := range requiredFlags(cmd) {
		if cmd.Flag(name).Value.String() == "" {
			return badUsage("--%s is missing", name)
		}
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		kind, v := f.Value.Type(), f.Value.String()
		if err == nil && (kind == "string" && v == "" || kind == "stringSlice" && v == "[]") {
			err = badUsage("--%s is empty; give it a value or leave it out", f.Name)
		}
		if err == nil && (kind == "int" || kind == "int64") && (v == "0" || v[0] == '-') {
			err = badUsage("--%s is %s, want 1 or more", f.Name, v)
		}
	})
	return err
}

var optional = regexp.MustCompile(`\[[^\]]*\]`)

// requiredFlags lists the flags that a command's usage line names outside of brackets.
func requiredFlags(cmd *cobra.Command) (names []string) {
	for word := range strings.FieldsSeq(optional.ReplaceAllString(cmd.Use, "")) {
		if name, flag := strings.CutPrefix(word, "--"); flag {
			names = append(names, name)
		}
	}
	return names
}

// fetch brings a model of a hub into the cache, where what opens it next will find it, and shows how far the download
// has come. What is not a hub's is left alone.
func (a *app) fetch(ctx context.Context, name string) error {
	repo, revision, ok, err := hub.ParseReference(name)
	if !ok || err != nil {
		return usage.Wrap(err)
	}
	a.bar.start("downloading")
	h := hub.Default()
	h.Progress, h.Log = a.bar.download, a.log
	_, err = h.Model(ctx, repo, revision)
	return err
}

// open loads a command's model, and shows how far a download has come.
func (a *app) open(ctx context.Context, name string) (*vit.Model, error) {
	a.bar.start("downloading")
	m, err := adavit.OpenContext(ctx, name, adavit.OpenOptions{Progress: a.bar.download, Log: a.log})
	if err == nil {
		a.caution(m, a.precision)
	}
	return m, err
}

// caution says what a user should know who runs a model in that precision.
func (a *app) caution(m *vit.Model, p infer.Precision) {
	if text := infer.Caution(p, m); text != "" {
		a.log.Warn(text)
	}
}
