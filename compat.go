package adavit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/vit"
)

// What the files still need that move to packages of their own next.

const (
	maxBatch      = 1 << 16
	maxSeconds    = 3600
	maxThreads    = parallel.MaxThreads
	sliceFloats   = 16 << 20
	PrecisionAuto = "auto"
)

func threads(n int) (int, error) { return parallel.Threads(n) }

func precision(p string, m *vit.Model) (infer.Precision, error) {
	return infer.Resolve(infer.Precision(p), m)
}

func named(file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", file, err)
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("folder for the results: %w", err)
	}
	p, err := atomicfile.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return fmt.Errorf("folder for the results: %w", err)
	}
	p.Discard()
	return nil
}

func fileName(label string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(label))
}

func newEngine(p *vit.Params, precision infer.Precision, o infer.Options) (*infer.Engine, error) {
	w, err := infer.Pack(p, precision)
	if err != nil {
		return nil, err
	}
	return infer.New(w, o)
}
