package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestReadmePath runs the commands of README's section on the reader's own pictures, as they stand there but for a
// shorter course, on a folder of JPEG files of three kinds of shapes and a small model under timm's names, and looks at
// what they leave.
func TestReadmePath(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two models")
	}
	commands := readmeCommands(t, "## Your own pictures")
	if len(commands) < 5 {
		t.Fatalf("only %d commands: %q", len(commands), commands)
	}
	for i, command := range commands {
		if strings.HasPrefix(command, "adavit train ") {
			commands[i] += " --set epochs=3 --set batch=8"
		}
		if strings.Contains(command, "--recipe finetune-adaptive ") {
			commands[i] += " --set halting.gate_center=2" // so few epochs would move the usual centre too little
		}
	}
	script := strings.Join(commands, "\n") + `
stdout '"label":"(circles|squares|stripes)"'
grep 'Depth|depth' photos-adaptive/report.html
grep '"policy": "token"' photos-adaptive/config.json
exists sheet.png photos-dense/report.html photos-adaptive/training.json photos-adaptive/steps.jsonl
adavit inspect photos-adaptive
stdout 'scheme token'
learnt photos-dense photos-adaptive
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(script), 0o666); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{filepath.Join(dir, "readme.txtar")},
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOMAXPROCS", "2")
			writePhotos(t, filepath.Join(env.WorkDir, "photos"), 10)
			return pretrained(filepath.Join(env.WorkDir, "model.safetensors"))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"learnt": learnt},
	})
}

// readmeCommands are the lines of the first block of commands under a heading of README.md, without comments and
// without the download, whose file the test brings along.
func readmeCommands(t *testing.T, heading string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("README.md has no heading %q", heading)
	}
	for line := range strings.Lines(section) {
		command, code := strings.CutPrefix(line, "    ")
		switch {
		case !code && commands != nil || strings.HasPrefix(line, "## "):
			return commands
		case !code:
			continue
		}
		command, _, _ = strings.Cut(command, "#")
		if command = strings.TrimSpace(command); command != "" && !strings.HasPrefix(command, "curl ") {
			commands = append(commands, command)
		}
	}
	return commands
}

// writePhotos fills dir with n JPEG files of each of three classes, of different sizes.
func writePhotos(t *testing.T, dir string, n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for _, class := range []struct {
		name   string
		inside func(x, y float64) bool
	}{
		{"circles", func(x, y float64) bool { return math.Hypot(x, y) < 0.6 }},
		{"squares", func(x, y float64) bool { return max(math.Abs(x), math.Abs(y)) < 0.55 }},
		{"stripes", func(x, y float64) bool { return math.Mod(5*(x+y)+100, 2) < 1 }},
	} {
		if err := os.MkdirAll(filepath.Join(dir, class.name), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			w, h := 120+random.IntN(80), 120+random.IntN(80)
			img := image.NewRGBA(image.Rect(0, 0, w, h))
			ground, figure := uint8(random.IntN(90)), uint8(160+random.IntN(90))
			for y := range h {
				for x := range w {
					v := ground
					if class.inside(2*float64(x)/float64(w)-1, 2*float64(y)/float64(h)-1) {
						v = figure
					}
					img.SetRGBA(x, y, color.RGBA{v, v + uint8(random.IntN(16)), v / 2, 255})
				}
			}
			var b bytes.Buffer
			if err := jpeg.Encode(&b, img, nil); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, class.name, string(rune('a'+i))+".jpg"), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// pretrained writes a DeiT-Ti of two blocks for a thousand classes, whose weights are random, as timm stores one.
func pretrained(path string) error {
	c, err := vit.Variant("deit-tiny")
	if err != nil {
		return err
	}
	c.Layers = 2
	return vit.SaveTimm(path, vit.Initialize(c, 1, 0), weights.F32)
}

// learnt DENSE ADAPTIVE fails unless the first run's loss fell and tokens of the second one's model halt.
func learnt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: learnt dense adaptive")
	}
	dense, err := trainer.ReadLog(ts.MkAbs(args[0]))
	ts.Check(err)
	adaptive, err := trainer.ReadLog(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(dense) < 2 || len(adaptive) < 2 {
		ts.Fatalf("logs of %d and %d epochs", len(dense), len(adaptive))
	}
	first, last := dense[0], dense[len(dense)-1]
	if last.Loss >= first.Loss {
		ts.Fatalf("the loss went from %v to %v", first.Loss, last.Loss)
	}
	if depth := adaptive[len(adaptive)-1].TestEMA.MeanDepth; !(depth > 1 && depth < 2) {
		ts.Fatalf("mean depth %v of 2 blocks", depth)
	}
}
