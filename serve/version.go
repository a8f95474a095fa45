package serve

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/serve/load"
	"github.com/adavit/adavit/vit"
)

// version is one loaded version of a model.
type version struct {
	name     string
	number   int
	model    *vit.Model // its parameters are packed in engine: here only their Config
	config   vit.Config
	engine   *pool.Model
	dense    int // token-blocks of an image in the dense model
	class    *load.Class
	share    float64 // of them, what the model's own constants cost on the average, as far as its ladder says; else 1
	stats    statistics
	files    picture.Decoding // how picture files are decoded
	decoding meanTime         // of a picture
	users    sync.WaitGroup   // requests that hold it; none begins once it is out of the repository
}

// load packs a model and tries it on an image: what cannot answer is never served.
func (s *Server) load(name string, number int, m *vit.Model) (*version, error) {
	c := m.Params.Config
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return nil, fmt.Errorf("%s: %w", vit.PreprocessorFile, err)
	}
	switch _, _, err := s.options.Budget.Limits(m); {
	case errors.Is(err, infer.ErrNoLadder):
		why := "all of its tokens run in all blocks"
		if c.Halting.Adaptive() {
			why = "it has no ladder of budgets; 'adavit calibrate' measures one"
		}
		s.log.Warn("--budget is not for this model, whose images cost what its own constants say: "+why, "model", name)
	case err != nil:
		return nil, fmt.Errorf("the default budget: %w", err)
	}
	engine, err := s.pool.Add(m, s.options.Precision)
	if err != nil {
		return nil, err
	}
	for _, text := range []string{s.options.Budget.Caution(m), infer.Caution(engine.Precision(), m)} {
		if text != "" {
			s.log.Warn(text, "model", name)
		}
	}
	shape := *m
	shape.Params = &vit.Params{Config: c}
	v := &version{name: name, number: number, model: &shape, config: c, engine: engine, dense: c.Tokens() * c.Layers,
		share: ownShare(m), files: m.Preprocessor.DecodedBy(s.options.Decoding).Decoding()}
	block, err := v.try(s.pool)
	if err != nil {
		engine.Close()
		return nil, fmt.Errorf("its first image failed: %w", err)
	}
	v.class = s.control.NewClass(engine.PassSize(), block)
	return v, nil
}

// reach is the share that a mean comes to: no less than the ladder's least.
func (v *version) reach(mean float64) float64 { return max(mean, v.model.Ladder[0].Mean) }

// ownShare is the mean cost of a model's own constants, as a share of the dense model's: as it was measured with the
// ladder, else 1.
func ownShare(m *vit.Model) float64 {
	if m.Calibration.Mean > 0 {
		return m.Calibration.Mean
	}
	return 1
}

// try has every worker run an image, twice: the first time the engines get their memory, the second tells how long a
// token-block takes, in seconds. A model that gives no finite numbers is found out.
func (v *version) try(p *pool.Pool) (block float64, err error) {
	grey := make([]float32, v.config.ImageLen())
	jobs := make([]*pool.Job, 2*p.Threads())
	for i := range jobs {
		jobs[i] = &pool.Job{Pixels: grey}
	}
	for range 2 {
		if err := v.engine.Run(jobs...); err != nil {
			return 0, err
		}
		block = math.Inf(1)
		for _, j := range jobs {
			if j.Err != nil {
				return 0, j.Err
			}
			spent := 0.0
			for _, d := range j.Depth {
				spent += float64(d)
			}
			if _, err := infer.Probabilities(j.Logits); err != nil {
				return 0, err
			}
			block = min(block, j.Ran.Seconds()/float64(j.Batch)/spent)
		}
	}
	return block, nil
}

// meanTime is a running mean of times.
type meanTime struct{ atomic.Int64 }

// add takes in another one. Two at once may lose one of them, which a mean bears.
func (m *meanTime) add(d time.Duration) {
	if old := m.get(); old == 0 {
		m.Store(int64(d))
	} else {
		m.Store(int64(old + (d-old)/8))
	}
}

func (m *meanTime) get() time.Duration { return time.Duration(m.Load()) }
