package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/adavit/adavit/report"
)

// processors are those that LLVM is asked for; newer ones have products of bfloat16s and matrix products.
var processors = []struct {
	name  string
	newer bool
}{{"cortex-a76", false}, {"neoverse-n1", false}, {"neoverse-v1", true}, {"neoverse-v2", true}, {"apple-m1", false}}

// cells is the row of a loop's figure on each processor, – where only newer ones have its instructions.
func cells(newer bool, figure func(processor string) (string, error)) (row []string, err error) {
	for _, p := range processors {
		text := "–"
		if p.newer || !newer {
			if text, err = figure(p.name); err != nil {
				return nil, err
			}
		}
		row = append(row, text)
	}
	return row, nil
}

// A loop is the inner one of a product.
type loop struct {
	what, file, routine string
	multiplyAdds        int    // of a turn
	instruction         string // the one that they are bounded by
	each                int    // multiply-adds of one instruction
	newer               bool   // only for newer processors
}

const (
	fmla   = "fmla v%d.4s, v30.4s, v31.s[0]"
	sdot   = "sdot v%d.4s, v30.16b, v31.4b[0]"
	usmmla = "usmmla v%d.4s, v30.16b, v31.16b"
	bfdot  = "bfdot v%d.4s, v30.8h, v31.2h[0]"
	bfmmla = "bfmmla v%d.4s, v30.8h, v31.8h"
)

var loops = []loop{
	{"f32, 5 × 16", "gemm", "gemm5x16NEON", 5 * 16 * 4, fmla, 4, false},
	{"f32, 8 × 8", "gemm", "gemm8x8NEON", 8 * 8 * 4, fmla, 4, false},
	{"int8, dot products, 5 × 16", "int8", "gemmBytes5x16Dot", 5 * 16 * 16, sdot, 16, false},
	{"int8, matrix products, 6 × 16", "int8", "gemmBytes6x16I8MM", 6 * 16 * 16, usmmla, 32, true},
	{"bf16, dot products, 5 × 16", "bf16", "gemmPairs5x16BF16", 5 * 16 * 8, bfdot, 8, true},
	{"bf16, matrix products, 6 × 16", "bf16", "gemmPairs6x16BF16", 6 * 16 * 8, bfmmla, 16, true},
}

// others are loops over rows of floats, with the floats of a turn.
var others = []struct {
	what, file, routine string
	floats              int
	newer               bool
}{
	{"softmax's exponentials", "activation", "softmaxRowsNEON", 8, false},
	{"softmax's exponentials to bytes", "attention", "softmaxBytesNEON", 16, false},
	{"GELU, exact", "activation", "geluNEON", 4, false},
	{"GELU, for bf16 and int8", "activation", "geluQuickNEON", 8, false},
	{"layer norm's last pass", "norm", "layerNormNEON", 8, false},
	{"quantising to bytes", "int8", "quantizeRowsNEON", 16, false}, {"AdamW", "vector", "adamWNEON", 4, false},
	{"GELU and its gradient, bf16", "bf16_train", "geluBackwardPairsBF16", 16, true},
	{"softmax's gradient, bf16", "bf16_train", "softmaxBackwardPairsBF16", 16, true},
}

// writeLoops writes the table of inner loops.
func writeLoops(w io.Writer, mca, folder string) error {
	llvm, err := release(mca)
	if err != nil {
		return fmt.Errorf("%w (Debian has it in llvm-19; -mca names another)", err)
	}
	fmt.Fprintf(w, "%s\nWritten by `cd bench && go run ./arm64`; do not edit. **No time was measured on arm64**: nobody "+
		"here has such a machine. This is what can be said without one.\n\n", heading)
	fmt.Fprintf(w, "*Computed*: the products' inner loops as %s models processors (llvm-mca): all data in the first "+
		"cache, branches foreseen, nothing fetched. A share is the\ncycles that the loop's multiply-adds take at least "+
		"(that many of their instruction alone, none waiting for another) of those that it takes.",
		llvm)
	fmt.Fprint(w, " LLVM has models of the\nNeoverses; for Cortex-A76 it takes Cortex-A57's, for Apple's M1 that of "+
		"Cyclone (2013), so those two columns say less. –: no such instructions.\n\n")
	head := []string{"inner loop", "instructions a multiply-add"}
	for _, p := range processors {
		head = append(head, p.name)
	}
	t := report.NewTable(1, head...)
	for _, l := range loops {
		body, err := inner(filepath.Join(folder, l.file+"_arm64.s"), l.routine)
		if err != nil {
			return err
		}
		row := []string{l.what, fmt.Sprintf("%.3f", float64(len(body)-1)/float64(l.multiplyAdds))} // less the label
		figures, err := cells(l.newer, func(p string) (string, error) {
			share, err := l.share(mca, p, body)
			return fmt.Sprintf("%.0f %%", 100*share), err
		})
		if err != nil {
			return err
		}
		t.Add(append(row, figures...)...)
	}
	fmt.Fprintln(w, t.Markdown())
	head[0], head[1] = "loop over rows, cycles a float", "instructions a float"
	t = report.NewTable(1, head...)
	for _, l := range others {
		body, err := inner(filepath.Join(folder, l.file+"_arm64.s"), l.routine)
		if err != nil {
			return err
		}
		row := []string{l.what, fmt.Sprintf("%.2f", float64(len(body)-1)/float64(l.floats))}
		figures, err := cells(l.newer, func(p string) (string, error) {
			cycles, err := model(mca, p, body)
			return fmt.Sprintf("%.2f", cycles/float64(l.floats)), err
		})
		if err != nil {
			return err
		}
		t.Add(append(row, figures...)...)
	}
	fmt.Fprint(w, t.Markdown())
	return nil
}

// release is what a program says of itself: "LLVM version 19.1.7".
func release(program string) (string, error) {
	text, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return versioned.FindString(string(text)), nil
}

var versioned = regexp.MustCompile(`\S+ version [0-9.]+`)

// share is the least number of cycles that the loop's multiply-adds take of those that it takes.
func (l loop) share(mca, processor string, body []string) (float64, error) {
	const independent = 24
	var peak []string
	for i := range independent {
		peak = append(peak, fmt.Sprintf(l.instruction, i))
	}
	least, err := model(mca, processor, peak)
	if err != nil {
		return 0, err
	}
	cycles, err := model(mca, processor, body)
	return least / independent * float64(l.multiplyAdds/l.each) / cycles, err
}

// inner returns the longest loop of a routine, as the assembly's comments name its instructions.
func inner(path, routine string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, body, ok := strings.Cut(string(text), "\nTEXT ·"+routine+"(SB)")
	if !ok {
		return nil, fmt.Errorf("%s has no %s", path, routine)
	}
	body, _, _ = strings.Cut(body, "\nTEXT ")
	var lines, longest []string
	starts := map[string]int{}
	for line := range strings.SplitSeq(body, "\n") {
		if name, ok := strings.CutSuffix(line, ":"); ok {
			starts[name] = len(lines)
			lines = append(lines, line)
			continue
		}
		_, instruction, ok := strings.Cut(line, " // ")
		if !ok {
			continue
		}
		lines = append(lines, instruction)
		fields := strings.Fields(instruction)
		start, back := starts[fields[len(fields)-1]]
		// Loops that have others in them are not inner ones.
		if part := lines[start:]; back && fields[0] != "b" && loopsIn(part) == 1 && len(part) > len(longest) {
			longest = append([]string(nil), part...)
		}
	}
	if longest == nil {
		return nil, fmt.Errorf("%s: %s has no loop", path, routine)
	}
	return longest, nil
}

// loopsIn counts the labels of part that part jumps back to.
func loopsIn(part []string) (n int) {
	seen := map[string]bool{}
	for _, line := range part {
		if name, ok := strings.CutSuffix(line, ":"); ok {
			seen[name] = true
		} else if f := strings.Fields(line); seen[f[len(f)-1]] {
			n++
		}
	}
	return n
}

// model returns the cycles of a turn.
func model(mca, processor string, body []string) (float64, error) {
	const turns = 1000
	cmd := exec.Command(mca, "-march=aarch64", "-mcpu="+processor, "-mattr=+dotprod,+i8mm,+bf16",
		fmt.Sprint("-iterations=", turns))
	cmd.Stdin = strings.NewReader(strings.Join(body, "\n") + "\n")
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return 0, fmt.Errorf("%s: %w: %s", mca, err, failed.Stderr)
	}
	if err != nil {
		return 0, err
	}
	found := cycles.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%s says no cycles:\n%s", mca, out)
	}
	n, err := strconv.Atoi(string(found[1]))
	return float64(n) / turns, err
}

var cycles = regexp.MustCompile(`Total Cycles: +([0-9]+)`)
