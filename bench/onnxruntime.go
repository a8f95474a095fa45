package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// onnxRuntime is ONNX Runtime (https://onnxruntime.ai) through Node.js, with all its graph optimisations. Its int8 is
// dynamic quantisation: see quantizeONNX.
type onnxRuntime struct{ root, program string }

// ortVersion is the version that is installed from npm; its package for Linux x64 holds the library.
const ortVersion = "1.30.0"

func (*onnxRuntime) name() string { return "ONNX Runtime" }

func (*onnxRuntime) precisions() []string { return []string{f32, int8Name} }

func (o *onnxRuntime) prepare(ctx context.Context, cache string, log *commandLog) (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: %w", errAbsent, err)
		}
	}
	o.root = filepath.Join(cache, "onnxruntime-"+ortVersion)
	args := []string{"npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", o.root,
		"onnxruntime-node@" + ortVersion}
	log.add(args...)
	if o.installed() != ortVersion {
		if err := os.MkdirAll(o.root, 0o777); err != nil {
			return "", err
		}
		if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
		}
		if v := o.installed(); v != ortVersion {
			return "", fmt.Errorf("npm installed onnxruntime-node %q, want %s", v, ortVersion)
		}
	}
	var err error
	if o.program, err = unpack(o.root, "onnxruntime.js"); err != nil {
		return "", err
	}
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("node --version: %w", err)
	}
	return fmt.Sprintf("%s (Node.js %s)", ortVersion, strings.TrimSpace(string(node))), nil
}

// installed is the version that lies in the cache, "" for none.
func (o *onnxRuntime) installed() string {
	text, err := os.ReadFile(filepath.Join(o.root, "node_modules", "onnxruntime-node", "package.json"))
	var p struct{ Version string }
	if err != nil || json.Unmarshal(text, &p) != nil {
		return ""
	}
	return p.Version
}

func (o *onnxRuntime) command(m *model, precision string) ([]string, string) {
	file := m.onnx
	if precision == int8Name {
		file = m.onnxInt8
	}
	return []string{"node", o.program}, file
}
