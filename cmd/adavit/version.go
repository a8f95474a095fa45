package main

import "runtime/debug"

// version is what a release says of itself: go build -ldflags "-X main.version=1.0.0". Empty: the build knows.
var version string

// programVersion is what this program says of itself, wherever it does.
func programVersion() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(version, info)
}

// versionOf returns the version that was linked in, or else what the build recorded: the module's version, or the
// commit, with -dirty after it if files had changed. info may be nil.
func versionOf(linked string, info *debug.BuildInfo) string {
	const devel = "(devel)" // what Go calls a module without a version
	switch {
	case linked != "":
		return linked
	case info == nil:
		return "unknown"
	case info.Main.Version != "" && info.Main.Version != devel:
		return info.Main.Version
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return devel
	}
	return revision + dirty
}
