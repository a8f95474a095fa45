// Package score classifies very many pictures on Apache Beam: a pipeline that reads them from files, object stores and
// tar shards, and writes tables of results. Whatever a runner retries, every picture is in them once.
//
//	patterns, lists → names → each name once → score → results by shard → shard files
//	                                              ↘ dead letters       → one file       → summary.json
//
// What comes back once comes from two things. Rows pass a GroupByKey, behind which a runner computes nothing twice that
// counts. And a file is a pure function of its rows: they are sorted, hold no times, and the shard follows from the
// picture's name; so whoever writes a file again writes the same bytes, under a temporary name first.
package score

import (
	"fmt"
	"hash/fnv"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/results"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
)

// Settings say what becomes of a picture. Workers get them as JSON.
type Settings struct {
	Model      string // a bundled model, hf:owner/name, or a directory: local on every worker, or gs:// or s3://
	Budget     adavit.Budget
	Precision  adavit.Precision
	Threads    int  // of each worker process; 0 for its CPUs
	Embeddings bool // are wanted in the results
	Decoding   picture.Decoding
}

// Options describe a job.
type Options struct {
	Settings
	Inputs []string // pictures and tar shards: names or patterns, local, gs:// or s3://
	Lists  []string // files that list more of them, one a line
	Output string   // a folder for what is written, local or gs:// or s3://; workers must all see it
	Format string   // of the results: parquet or jsonl
	Shards int      // files of results
}

// Check reports what is wrong with options before anything is run; errors wrap adavit.ErrUsage.
func (o *Options) Check() error {
	if len(o.Inputs)+len(o.Lists) == 0 {
		return usage.Errorf("--input is missing")
	}
	for _, name := range append(append([]string{o.Output}, o.Inputs...), o.Lists...) {
		if err := checkName(name); err != nil {
			return err
		}
	}
	for _, name := range o.Inputs {
		if schemeOf(name) != "" {
			continue
		}
		if about, err := os.Stat(name); err == nil && about.IsDir() {
			return usage.Errorf("--input %s is a folder, want pictures and tar shards: '%s', say", name,
				filepath.Join(name, "*"))
		}
	}
	if _, ok := results.FormatOf("." + o.Format); !ok {
		return usage.Errorf("--format is %q, want parquet or jsonl", o.Format)
	}
	if o.Shards < 1 || o.Shards > maxShards {
		return usage.Errorf("--shards is %d, want 1 to %d", o.Shards, maxShards)
	}
	if o.Threads < 0 {
		return usage.Errorf("--threads is %d, want 1 or more", o.Threads)
	}
	if err := o.Decoding.Check(); err != nil {
		return usage.Wrap(err)
	}
	return nil
}

const maxShards = 100_000

// Build adds the job to a pipeline. Beam panics on a graph that it cannot build, so a mistake in it is not an error.
func Build(s beam.Scope, o Options) {
	var names []beam.PCollection
	if len(o.Inputs) > 0 {
		patterns := beam.CreateList(s, o.Inputs)
		names = append(names, beam.ParDo(s.Scope("Match"), &matchFn{}, patterns))
	}
	if len(o.Lists) > 0 {
		lists := beam.CreateList(s, o.Lists)
		names = append(names, beam.ParDo(s.Scope("List"), &listFn{}, lists))
	}
	once := s.Scope("Once") // and spreads them over the workers
	keyed := beam.ParDo(once, keyName, beam.Flatten(once, names...))
	distinct := beam.ParDo(once, takeName, beam.GroupByKey(once, keyed))

	scored, dead := beam.ParDo2(s.Scope("Score"), &scoreFn{Settings: o.Settings, Shards: o.Shards}, distinct)
	write := s.Scope("Write")
	wrote := beam.ParDo(write, &writeFn{Output: o.Output, Format: o.Format, Shards: o.Shards, Embeddings: o.Embeddings},
		beam.GroupByKey(write, scored))
	bury := s.Scope("DeadLetters")
	buried := beam.ParDo(bury, &writeFn{Output: o.Output}, beam.GroupByKey(bury, dead))
	sum := s.Scope("Summary")
	beam.ParDo0(sum, &summaryFn{Output: o.Output, Settings: o.Settings},
		beam.GroupByKey(sum, beam.Flatten(sum, wrote, buried)))
}

func init() {
	register.Function1x2(keyName)
	register.Function2x1(takeName)
	register.Emitter1[string]()
	register.Emitter2[int, []byte]()
	register.Iter1[[]byte]()
	register.Iter1[int]()
}

func keyName(name string) (string, int) { return name, 0 }

func takeName(name string, _ func(*int) bool) string { return name }

// shardOf is the shard that a picture's row goes to.
func shardOf(name string, shards int) int {
	h := fnv.New64a()
	h.Write([]byte(name))
	return int(h.Sum64() % uint64(shards))
}

// SummaryFile is what a job writes last, in its output.
const SummaryFile = "summary.json"

const deadFile = "dead.jsonl"

// shardFile names a file of results.
func shardFile(shard, shards int, format string) string {
	return fmt.Sprintf("results-%05d-of-%05d.%s", shard, shards, format)
}

// join puts a file's name behind a folder's. In an object store .. is a name like any other.
func join(folder, name string) string {
	if schemeOf(folder) != "" {
		return strings.TrimRight(folder, "/") + "/" + name
	}
	return path.Join(folder, name)
}
