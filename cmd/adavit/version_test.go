package main

import (
	"runtime/debug"
	"testing"
)

// TestVersionOf: what is linked in goes before the module's version, and that before the commit.
func TestVersionOf(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "d721f24a0c8e5d3b2f11d721f24a0c8e5d3b2f11"}
	dirty := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	clean := debug.BuildSetting{Key: "vcs.modified", Value: "false"}
	for _, c := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"1.2.3", build("v1.0.0", commit, dirty), "1.2.3"},
		{"1.2.3", nil, "1.2.3"},
		{"", build("v1.0.0", commit, clean), "v1.0.0"},
		{"", build("(devel)", commit, clean), "d721f24a0c8e"},
		{"", build("(devel)", dirty, commit), "d721f24a0c8e-dirty"},
		{"", build("", commit), "d721f24a0c8e"},
		{"", build("(devel)"), "(devel)"},
		{"", nil, "unknown"},
	} {
		if got := versionOf(c.linked, c.info); got != c.want {
			t.Errorf("versionOf(%q, %+v) = %q, want %q", c.linked, c.info, got, c.want)
		}
	}
}
