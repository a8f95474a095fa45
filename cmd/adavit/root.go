package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/hub"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

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
	log      *slog.Logger

	threads   int
	precision infer.Precision
	json      bool
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(errs,
				"adavit: internal error: %v\nThis is a bug in adavit; please report it with the command line and the files that "+
					"brought it about.\n", p)
			status = exitFailed
		}
	}()
	a := &app{in: in, out: out, err: errs, log: slog.New(slog.NewTextHandler(errs, nil))}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(errs, "%s: %v\n", cmd.CommandPath(), err)
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
		Long: "Adavit trains, measures and runs vision transformers whose tokens stop being computed once they have said " +
			"what they know.\n\n" +
			"New here? Run 'adavit demo': it needs no download and no flag.\n\n" +
			"Results go to standard output, everything else to standard error. The exit status is 0 when all was done,\n" +
			"1 when something failed, and 2 when the command line was wrong.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
				hint = "; did you mean " + strings.Join(similar, " or ") + "?"
			}
			return badUsage("there is no command %q%s", args[0], hint)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return badUsage("no command given; 'adavit demo' is a good first one")
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badUsage("%v", err) })
	f := root.PersistentFlags()
	f.IntVar(&a.threads, "threads", 0, "`number` of threads (default: the CPUs that the process may use)")
	precision := f.String("precision", "auto", "`kind` of arithmetic: f32, bf16, int8 or auto")
	f.BoolVar(&a.json, "json", false, "print one JSON object")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if a.precision, err = infer.ParsePrecision(*precision); err != nil {
			return usage.Wrap(err)
		}
		if cmd.Name() == "bench" { // has a list of its own
			return nil
		}
		return atLeastOne(cmd, "threads")
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
		a.convert(), a.inspect(), a.bench())
	return root
}

// badUsage makes an error that ends the program with status 2.
func badUsage(format string, args ...any) error { return usage.Errorf(format, args...) }

// arguments checks the number of a command's arguments; most < 0 means any number.
func arguments(what string, least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case most == 0 && len(args) > 0:
			return badUsage("unexpected argument %q", args[0])
		case len(args) < least:
			return badUsage("missing argument: %s", what)
		case most >= 0 && len(args) > most:
			return badUsage("unexpected argument %q after %s", args[most], what)
		}
		return nil
	}
}

// required reports the first flag that was not given a value.
func required(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if cmd.Flag(name).Value.String() == "" {
			return badUsage("--%s is missing", name)
		}
	}
	return nil
}

// atLeastOne reports the first counting flag that was set below 1; not set, they have a meaning of their own.
func atLeastOne(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if f := cmd.Flag(name); f.Changed && (f.Value.String() == "0" || strings.HasPrefix(f.Value.String(), "-")) {
			return badUsage("--%s is %s, want 1 or more", name, f.Value)
		}
	}
	return nil
}

// fetch brings a model of a hub into the cache, where what opens it next will find it, and shows how far the download
// has come. What is not a hub's is left alone.
func (a *app) fetch(cmd *cobra.Command, name string) error {
	repo, revision, ok, err := hub.ParseReference(name)
	if !ok || err != nil {
		return usage.Wrap(err)
	}
	bar := a.progress("downloading")
	defer bar.end()
	h := hub.Default()
	h.Progress, h.Log = bar.download, a.log
	_, err = h.Model(cmd.Context(), repo, revision)
	return err
}

// open loads a command's model, and shows how far a download has come.
func (a *app) open(cmd *cobra.Command, name string) (*vit.Model, error) {
	bar := a.progress("downloading")
	defer bar.end()
	return adavit.OpenContext(cmd.Context(), name, adavit.OpenOptions{Progress: bar.download, Log: a.log})
}
