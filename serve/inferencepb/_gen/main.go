// Command _gen writes the Go code of the .proto files of package inferencepb that its arguments name. It parses them
// itself and hands them to protoc's Go plugins, so that neither protoc nor anything of it need be installed. That it is
// a module of its own keeps the compiler and the plugins out of the main one.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// The repository's root as seen from here, and the package's folder as seen from the root: files are compiled under
// their paths from the root, by which programs that link several .proto files tell them apart.
const (
	root = "../../.."
	dir  = "serve/inferencepb"
)

// plugins are tools of this module, so its go.mod says their versions.
var plugins = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	if err := generate(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generating inferencepb:", err)
		os.Exit(1)
	}
}

func generate(names []string) error {
	if len(names) == 0 {
		return errors.New("name the .proto files")
	}
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = path.Join(dir, name)
	}
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{root}},
		SourceInfoMode: protocompile.SourceInfoStandard, // comments
	}
	files, err := compiler.Compile(context.Background(), paths...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: paths,
		Parameter:      proto.String("paths=source_relative"),
	}
	// A plugin wants a file after those it imports.
	done := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		f := protoutil.ProtoFromFileDescriptor(files.FindFileByPath(name))
		for _, imported := range f.Dependency {
			add(imported)
		}
		request.ProtoFile = append(request.ProtoFile, f)
	}
	for _, p := range paths {
		add(p)
	}
	for _, plugin := range plugins {
		if err := run(plugin, request); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// run gives the request to a plugin and writes the files that it answers.
func run(plugin string, request proto.Message) error {
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command("go", "tool", plugin)
	command.Stdin, command.Stderr = bytes.NewReader(in), os.Stderr
	out, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		if err := os.WriteFile(filepath.Join(root, f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
