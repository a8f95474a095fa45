package hub

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ParseReference takes a name like hf:facebook/deit-tiny-patch16-224 or hf:owner/name@revision apart. ok says whether
// it is one at all, that is, whether it starts with "hf:"; err is what is wrong with one. A revision that is not given
// is main.
func ParseReference(s string) (repo, revision string, ok bool, err error) {
	rest, ok := strings.CutPrefix(s, "hf:")
	if !ok {
		return "", "", false, nil
	}
	repo, revision, given := strings.Cut(rest, "@")
	if !given {
		revision = defaultRevision
	}
	if strings.HasPrefix(rest, "//") {
		err = errors.New("write hf:owner/name, without the slashes before the owner")
	} else {
		err = check(repo, revision)
	}
	if err != nil {
		return "", "", true, fmt.Errorf("hub: %s: %w", quoted(s), err)
	}
	return repo, revision, true, nil
}

// check makes a repository's name and a revision safe for paths and URLs.
func check(repo, revision string) error {
	if err := checkRepo(repo); err != nil {
		return err
	}
	return checkRevision(revision)
}

// repoPart is an owner or a repository: letters, digits and marks, no mark but _ first or last.
var repoPart = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$`)

// checkRepo holds a repository's name to the hub's own rules, which make it safe as a path and in a URL.
func checkRepo(repo string) error {
	owner, name, ok := strings.Cut(repo, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("%s is not a repository: want owner/name", quoted(repo))
	}
	for _, part := range []string{owner, name} {
		if !repoPart.MatchString(part) {
			return fmt.Errorf(
				"%s is not a repository's owner or name: up to 96 letters, digits, and the marks - _ . inside",
				quoted(part))
		}
	}
	switch {
	case strings.Contains(repo, "--"), strings.Contains(repo, ".."): // the cache writes "--" for the slash
		return fmt.Errorf("%s is not a repository: two marks in a row", quoted(repo))
	case strings.HasSuffix(repo, ".git"):
		return fmt.Errorf("%s: leave out .git", quoted(repo))
	}
	return nil
}

// checkRevision holds a revision to git's rules for names of branches and tags. One with slashes makes folders in the
// cache.
func checkRevision(revision string) error {
	if revision == "" {
		return errors.New("no revision after @")
	}
	if len(revision) > 200 {
		return fmt.Errorf("revision %s is longer than 200 bytes", quoted(revision))
	}
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("~^:?*[\\@{}\"<>|%#&$'`;!", r) }
	good := !strings.ContainsFunc(revision, bad) && !strings.Contains(revision, "..")
	for part := range strings.SplitSeq(revision, "/") {
		good = good && part != "" && part[0] != '.' && part[0] != '-' &&
			!strings.HasSuffix(part, ".") && !strings.HasSuffix(part, ".lock")
	}
	if !good {
		return fmt.Errorf("revision %s is not the name of a branch, a tag or a commit", quoted(revision))
	}
	return nil
}

var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// isCommit says whether a revision is a whole commit hash, which always means the same files.
func isCommit(revision string) bool { return commitPattern.MatchString(revision) }
