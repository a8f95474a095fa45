package score

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/adavit/adavit/internal/results"
)

func init() {
	register.DoFn4x1[context.Context, string, func(int, []byte), func(int, []byte), error](&scoreFn{})
}

// scoreFn turns the names of pictures and tar shards into rows of results, by shard, and dead letters. It reads and
// classifies ahead: passes are shared by all that one process has in hand.
type scoreFn struct {
	Settings Settings
	Shards   int

	scorer *scorer
	ahead  []<-chan scored
	images beam.Counter
	dead   beam.Counter
	tokens beam.Distribution
}

// scored is what became of a picture.
type scored struct {
	row results.Row
	err error // the bundle fails
}

// Counters of a job. They count what was done: more than the pictures, if a runner has repeated some.
const (
	counters     = "adavit"
	CountImages  = "images"
	CountDead    = "dead"
	countsTokens = "token_blocks"
)

// Setup loads the model, unless the process has it.
func (f *scoreFn) Setup(ctx context.Context) (err error) {
	f.images, f.dead = beam.NewCounter(counters, CountImages), beam.NewCounter(counters, CountDead)
	f.tokens = beam.NewDistribution(counters, countsTokens)
	f.scorer, err = load(ctx, f.Settings)
	return err
}

// StartBundle forgets what a bundle that failed has left.
func (f *scoreFn) StartBundle(context.Context, func(int, []byte), func(int, []byte)) { f.ahead = nil }

// ProcessElement takes a file. Its results, or those of files before it, may be emitted later.
func (f *scoreFn) ProcessElement(ctx context.Context, name string, rows, dead func(int, []byte)) error {
	if !isTar(name) {
		return f.start(ctx, rows, dead, name, func() ([]byte, error) { return readAll(ctx, name, maxPicture) })
	}
	err := members(ctx, name, func(member string, content []byte, err error) error {
		return f.start(ctx, rows, dead, member, func() ([]byte, error) { return content, err })
	})
	if err != nil && permanent(err) { // what could be read of it is on its way
		return f.emit(ctx, rows, dead, scored{row: results.Row{File: name, Error: err.Error()}})
	}
	return err
}

// FinishBundle emits what is left.
func (f *scoreFn) FinishBundle(ctx context.Context, rows, dead func(int, []byte)) error {
	for len(f.ahead) > 0 {
		if err := f.next(ctx, rows, dead); err != nil {
			return err
		}
	}
	return nil
}

// start has a picture read and classified, and emits the oldest one's result if enough are under way.
func (f *scoreFn) start(ctx context.Context, rows, dead func(int, []byte), name string,
	read func() ([]byte, error)) error {
	if len(f.ahead) == cap(f.scorer.slots) {
		if err := f.next(ctx, rows, dead); err != nil {
			return err
		}
	}
	s := f.scorer
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan scored, 1)
	f.ahead = append(f.ahead, done)
	go func() {
		defer func() { <-s.slots }()
		content, err := read()
		var r scored
		switch {
		case err == nil:
			r.row, r.err = s.row(ctx, name, content)
		case permanent(err):
			r.row = results.Row{File: name, Error: err.Error()}
		default:
			r.err = err
		}
		done <- r
	}()
	return nil
}

// next emits the oldest picture's result.
func (f *scoreFn) next(ctx context.Context, rows, dead func(int, []byte)) error {
	oldest := f.ahead[0]
	f.ahead = f.ahead[1:]
	select {
	case r := <-oldest:
		return f.emit(ctx, rows, dead, r)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *scoreFn) emit(ctx context.Context, rows, dead func(int, []byte), r scored) error {
	if r.err != nil {
		return r.err
	}
	line, err := json.Marshal(r.row)
	if err != nil {
		return fmt.Errorf("%s: %w", r.row.File, err)
	}
	if r.row.Error != "" {
		f.dead.Inc(ctx, 1)
		dead(0, line)
		return nil
	}
	f.images.Inc(ctx, 1)
	f.tokens.Update(ctx, int64(r.row.Tokens))
	rows(shardOf(r.row.File, f.Shards), line)
	return nil
}
