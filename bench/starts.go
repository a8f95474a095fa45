package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/turns"
)

// From start to answer: a whole process that loads a model from disk, runs one picture and prints its class, files
// being in the page cache. Ours is the command, which decodes a JPEG and prepares it; peers are given the numbers.

// startCommand is the argument by which this program starts itself to time another: what a process inherits of the
// memory of a large one that starts it would be counted as its own.
const startCommand = "measure-start"

// startRun is what one process came to.
type startRun struct {
	MS     float64 `json:"ms"`   // from its start to the first byte of its answer
	Peak   int64   `json:"peak"` // bytes resident at most; 0 where the system does not say
	Answer string  `json:"answer"`
}

// reportStart starts the program that args name, and says what it came to.
func reportStart(stdout io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s wants a program", startCommand)
	}
	var said startRun
	var answer, complaint bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(out, first); err == nil {
		said.MS = time.Since(begin).Seconds() * 1000
		answer.Write(first)
		if _, err := io.Copy(&answer, out); err != nil {
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, &complaint)
	}
	if said.MS == 0 {
		return fmt.Errorf("%s prints nothing", strings.Join(args, " "))
	}
	said.Peak, said.Answer = largestResident(cmd.ProcessState), answer.String()
	return json.NewEncoder(stdout).Encode(said)
}

// startSide is a program with its model. The rounds of its entry have one time each.
type startSide struct {
	entry
	args  []string
	peak  int64 // of all its runs
	class string
}

// starts is what was measured of one model.
type starts struct {
	model   string
	threads int
	sides   []*startSide
}

// find returns the side of a key, or nil.
func (s *starts) find(key string) *startSide {
	for _, side := range s.sides {
		if side.key() == key {
			return side
		}
	}
	return nil
}

// Names of our sides besides the precisions of the model on disk.
const (
	storedName  = int8Name + ", stored so"
	bundledName = "bundled " + accuracyModel
)

// measureStarts lets all programs take turns.
func (f *findings) measureStarts(ctx context.Context, m *model, present []peer) error {
	f.progress("%s: from start to answer", m.name)
	program, err := buildProgram(ctx, f.options)
	if err != nil {
		return err
	}
	s := &starts{model: m.name, threads: slices.Max(f.options.threads)}
	one, picture, err := startPicture(m)
	if err != nil {
		return err
	}
	stored := m.base + ".int8"
	if err := os.RemoveAll(stored); err != nil {
		return err
	}
	if _, err := tools.Convert(ctx, m.dir, stored, tools.ConvertOptions{Precision: infer.Int8}); err != nil {
		return err
	}
	ours := func(what, precision, dir string) {
		args := []string{program, "classify", "--model", dir, "--precision", precision, "--threads",
			strconv.Itoa(s.threads), "--json", picture}
		s.sides = append(s.sides, &startSide{entry: entry{who: oursName, what: what, precision: precision}, args: args})
	}
	for _, p := range f.options.precisions {
		ours(p, p, m.dir)
	}
	ours(storedName, int8Name, stored)
	ours(bundledName, int8Name, accuracyModel)
	for _, p := range present {
		for _, precision := range p.precisions() {
			j := job{one, s.threads, 1}
			setting := p.settings(j, precision)[0]
			if _, ok := p.(*pyTorch); ok { // compiling takes longer than any answer
				if setting = "eager"; precision == int8Name {
					continue
				}
			}
			s.sides = append(s.sides, &startSide{entry: entry{who: p.name(), what: precision, precision: precision,
				setting: setting}, args: append(peerArgs(p, j, precision, setting), "once")})
		}
	}
	for _, side := range s.sides {
		if side.who == oursName {
			f.commands.add(append([]string{oursName}, side.args[1:]...)...)
		} else {
			f.commands.add(side.args...)
		}
	}
	// The first round is for caches, of files and of what OpenVINO compiles.
	err = turns.Play(ctx, f.options.rounds+1, len(s.sides), func(round, i int) error {
		return s.sides[i].turn(ctx, round > 0)
	}, nil)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	f.starts = s
	f.writeStarts(f.options.stderr)
	return nil
}

// startPicture writes a picture, and returns its file and a copy of the model whose images are what it becomes.
func startPicture(m *model) (*model, string, error) {
	c := m.params.Config
	if c.Channels != 3 {
		return nil, "", fmt.Errorf("%s takes no colours", m.name)
	}
	img, waves := image.NewNRGBA(image.Rect(0, 0, c.Width, c.Height)), drawImages(c, 1)
	for p := range c.Height * c.Width {
		for ch := range 3 {
			img.Pix[4*p+ch] = uint8(min(max(127+60*waves[ch*c.Height*c.Width+p], 0), 255))
		}
		img.Pix[4*p+3] = 255
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, nil); err != nil {
		return nil, "", err
	}
	decoded, err := jpeg.Decode(bytes.NewReader(file.Bytes()))
	if err != nil {
		return nil, "", err
	}
	one := *m
	one.input, one.images = m.base+".start.input", make([]float32, c.ImageLen())
	if err := m.preprocessor.Apply(one.images, decoded, c.Channels, c.Height, c.Width); err != nil {
		return nil, "", err
	}
	name := m.base + ".start.jpg"
	return &one, name, errors.Join(os.WriteFile(name, file.Bytes(), 0o666), writeImages(one.input, one.images))
}

// turn starts the program once.
func (s *startSide) turn(ctx context.Context, counts bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, self, append([]string{startCommand}, s.args...)...).Output()
	var said startRun
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return fmt.Errorf("%s: %w", s.key(), err)
	}
	if s.class, err = classIn(said.Answer); err != nil {
		return fmt.Errorf("%s: %w", s.key(), err)
	}
	if counts {
		s.rounds = append(s.rounds, []float64{said.MS})
		s.peak = max(s.peak, said.Peak)
	}
	return nil
}

// classIn reads the number of the likeliest class: a peer's line, or our JSON.
func classIn(answer string) (string, error) {
	answer = strings.TrimSpace(answer)
	if _, err := strconv.Atoi(answer); err == nil {
		return answer, nil
	}
	var ours struct {
		Images []struct{ Top []struct{ Class int } }
	}
	if err := json.Unmarshal([]byte(answer), &ours); err != nil || len(ours.Images) != 1 || len(ours.Images[0].Top) == 0 {
		return "", fmt.Errorf("%.200q is no answer (%v)", answer, err)
	}
	return strconv.Itoa(ours.Images[0].Top[0].Class), nil
}

// check compares the classes of float32, which must be the same.
func (s *starts) check() error {
	ours := s.find(oursName + " " + f32)
	for _, side := range s.sides {
		if side.precision == f32 && ours != nil && side.class != ours.class {
			return fmt.Errorf("%s says class %s, ours %s: it computes something else", side.key(), side.class, ours.class)
		}
	}
	return nil
}
