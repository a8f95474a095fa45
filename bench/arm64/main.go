// Command arm64 says how good the arm64 kernels are where there is no arm64 machine to time them on:
//
//	cd bench && go run ./arm64 -out ../BENCHMARKS.md
//
// It computes how many cycles their inner loops take on some processors, by LLVM's models of these (llvm-mca, Debian's
// llvm-19), and counts the instructions of a whole forward pass, and of a training step, under qemu (qemu-user, with a
// C compiler for the plugin that counts). It writes table.md here, which the benchmark's page includes, and with -out
// that section of a page.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("arm64: ")
	mca := flag.String("mca", "llvm-mca-19", "`command` that models processors")
	kernels := flag.String("kernels", "../internal/kernels", "`folder` of the assembly")
	count := flag.Bool("count", true, "count instructions under qemu too, half an hour")
	out := flag.String("out", "", "`page` whose section is written")
	precision := flag.String("run", "", "`precision` of what is run instead, to be counted: a forward pass")
	training := flag.Bool("training", false, "run a training step")
	images := flag.Int("images", 1, "images of what is run")
	flag.Parse()
	if *precision != "" {
		check(work{*precision, *training}.run(*images))
		return
	}
	var page strings.Builder
	check(checkNames(strings.Replace(*mca, "llvm-mca", "llvm-mc", 1), *kernels))
	check(writeLoops(&page, *mca, *kernels))
	if *count {
		check(writeCounts(&page))
	}
	check(os.WriteFile("arm64/table.md", []byte(page.String()), 0o666))
	if *out != "" {
		check(replace(*out, page.String()))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// heading begins the section of a page.
const heading = "## arm64, computed\n"

// replace puts the section into a page: in place of the old one, or before the commands, which stand last.
func replace(path, section string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(text)
	start := strings.Index(page, "\n"+heading) + 1
	if start == 0 {
		start = strings.Index(page, "\n## Commands\n") + 1
		if start == 0 {
			return fmt.Errorf("%s has no commands at its end", path)
		}
		return os.WriteFile(path, []byte(page[:start]+section+"\n"+page[start:]), 0o666)
	}
	end := len(page)
	if next := strings.Index(page[start+len(heading):], "\n## "); next >= 0 {
		end = start + len(heading) + next + 1
		section += "\n"
	}
	return os.WriteFile(path, []byte(page[:start]+section+page[end:]), 0o666)
}
