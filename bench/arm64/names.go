package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	numbered = regexp.MustCompile(`WORD \$0x([0-9a-f]{8}) // (.*)`)
	encoding = regexp.MustCompile(`encoding: \[(.*)\]`)
)

// checkNames holds the numbers that the assembly writes for vector instructions against what LLVM's assembler makes of
// the names in their comments: processors are modelled by these names.
func checkNames(assembler, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*_arm64.s"))
	if err != nil {
		return err
	}
	var names, numbers []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range numbered.FindAllStringSubmatch(string(text), -1) {
			numbers, names = append(numbers, m[1]), append(names, m[2])
		}
	}
	cmd := exec.Command(assembler, "-arch=aarch64", "-mattr=+dotprod,+i8mm,+bf16", "-show-encoding")
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w: %s", assembler, err, failed.Stderr)
	}
	if err != nil {
		return err
	}
	found := encoding.FindAllStringSubmatch(string(out), -1)
	if len(found) != len(names) || len(names) == 0 {
		return fmt.Errorf("%s assembles %d instructions of %d", assembler, len(found), len(names))
	}
	for i, m := range found {
		b, err := hex.DecodeString(strings.NewReplacer("0x", "", ",", "").Replace(m[1]))
		if err != nil || len(b) != 4 {
			return fmt.Errorf("%s: encoding %q", assembler, m[1])
		}
		if number := fmt.Sprintf("%02x%02x%02x%02x", b[3], b[2], b[1], b[0]); number != numbers[i] {
			return fmt.Errorf("%s is 0x%s, not 0x%s", names[i], number, numbers[i])
		}
	}
	return nil
}
