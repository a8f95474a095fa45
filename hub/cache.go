package hub

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/weights"
)

// repoCache is one repository's part of the cache, as huggingface_hub arranges it under its root:
//
//	models--OWNER--NAME/
//	    blobs/ETAG                content, named by its checksum; ETAG.incomplete while it comes
//	    refs/REVISION             the commit that a branch or tag meant last
//	    snapshots/COMMIT/FILE     → ../../blobs/ETAG; the content itself where links cannot be made
//	    .no_exist/COMMIT/FILE     empty: the commit has no such file
//	.locks/models--OWNER--NAME/ETAG.lock
//
// The names of its methods' arguments have all been checked: none can lead out of it.
type repoCache struct{ root, repo string }

func (c repoCache) folder() string { return "models--" + strings.ReplaceAll(c.repo, "/", "--") }

func (c repoCache) path(parts ...string) string {
	return filepath.Join(append([]string{c.root, c.folder()}, parts...)...)
}

func (c repoCache) blob(etag string) string       { return c.path("blobs", etag) }
func (c repoCache) snapshot(commit string) string { return c.path("snapshots", commit) }
func (c repoCache) ref(revision string) string    { return c.path("refs", filepath.FromSlash(revision)) }

func (c repoCache) file(commit, name string) string   { return c.path("snapshots", commit, name) }
func (c repoCache) marker(commit, name string) string { return c.path(".no_exist", commit, name) }

// has and absent say what is known of a file: that the snapshot has it, that the commit does not.
func (c repoCache) has(commit, name string) bool    { return isRegular(c.file(commit, name)) }
func (c repoCache) absent(commit, name string) bool { return isRegular(c.marker(commit, name)) }

func (c repoCache) lock(etag string) string {
	return filepath.Join(c.root, ".locks", c.folder(), etag+".lock")
}

// shards reads the snapshot's list of shards, in the file index.
func (c repoCache) shards(commit, index string) ([]string, error) {
	path := c.file(commit, index)
	text, err := regular.Read(path, weights.MaxIndex)
	if err != nil {
		return nil, err
	}
	names, err := weights.ShardNames(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}

// isRegular follows links: one to a blob that is gone is no file.
func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// missing lists the files that a snapshot lacks. If sure, files that a model may do without, or have instead of better
// ones, must be known not to exist in the repository; what another program downloaded may be only a part.
func (c repoCache) missing(commit string, sure bool) (names []string) {
	if !c.has(commit, hubConfig) {
		names = append(names, hubConfig)
	}
	if sure && !c.has(commit, hubPreprocessor) && !c.absent(commit, hubPreprocessor) {
		names = append(names, hubPreprocessor)
	}
	for _, file := range weightFiles {
		switch {
		case !c.has(commit, file.name):
			if sure && !c.absent(commit, file.name) {
				return append(names, file.name)
			}
			continue
		case !file.index:
			return names
		}
		shards, err := c.shards(commit, file.name)
		if err != nil {
			return append(names, file.name)
		}
		there := func(shard string) bool { return c.has(commit, shard) }
		return append(names, slices.DeleteFunc(shards, there)...)
	}
	return append(names, hubWeights)
}

// find returns the snapshot of what a revision meant last, if it has all that a model needs. The error says what it
// lacks.
func (c repoCache) find(revision string) (dir string, err error) {
	if _, err := os.Stat(c.path()); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the cache %s has nothing of this repository", c.root)
	}
	commit := revision
	if !isCommit(revision) {
		b, err := regular.Read(c.ref(revision), 1<<10)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the cache %s does not know this revision (it knows %s)", c.path(), c.known())
		}
		if err != nil {
			return "", err
		}
		if commit = strings.TrimSpace(string(b)); !isCommit(commit) {
			return "", fmt.Errorf("%s holds %s, which is no commit", c.ref(revision), quoted(commit))
		}
	}
	if lacking := c.missing(commit, false); len(lacking) > 0 {
		const most = 5
		if rest := len(lacking) - most; rest > 0 {
			lacking = append(lacking[:most], fmt.Sprintf("%d more", rest))
		}
		return "", fmt.Errorf("the cached %s lacks %s", c.snapshot(commit), strings.Join(lacking, ", "))
	}
	return c.snapshot(commit), nil
}

// known names what find can find.
func (c repoCache) known() string {
	var names []string
	fs.WalkDir(os.DirFS(c.path("refs")), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			names = append(names, name)
		}
		return nil
	})
	snapshots, _ := os.ReadDir(c.path("snapshots"))
	for _, d := range snapshots {
		if isCommit(d.Name()) {
			names = append(names, d.Name())
		}
	}
	return cmp.Or(strings.Join(names[:min(len(names), 10)], ", "), "none")
}

// setRef notes what a revision means. The file is replaced only if it says otherwise.
func (c repoCache) setRef(revision, commit string) error {
	if revision == commit {
		return nil
	}
	path := c.ref(revision)
	if b, err := regular.Read(path, 1<<10); err == nil && string(b) == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, []byte(commit))
}

// setAbsent notes that a commit has no such file.
func (c repoCache) setAbsent(commit, name string) {
	path := c.marker(commit, name)
	if os.MkdirAll(filepath.Dir(path), 0o777) == nil {
		atomicfile.WriteFile(path, nil)
	}
}

// link puts a blob into a snapshot under its name. Where links cannot be made a blob that has just come is moved there,
// another copied, since other snapshots may have it too.
func (c repoCache) link(commit, name, etag string, fresh bool) error {
	path := c.file(commit, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), atomicfile.TempName())
	if err := symlink(filepath.Join("..", "..", "blobs", etag), temp); err == nil {
		if err := os.Rename(temp, path); err != nil { // in one step: whoever looks sees the old link or the new one
			os.Remove(temp)
			return err
		}
		return atomicfile.SyncDir(filepath.Dir(path))
	}
	if fresh {
		return os.Rename(c.blob(etag), path)
	}
	return copyFile(path, c.blob(etag))
}

// symlink is os.Symlink, but for tests of file systems that have none.
var symlink = os.Symlink

// copyFile puts a copy of src at dst, whole or not at all.
func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	return atomicfile.Replace(dst, func(out io.Writer) error {
		_, err := io.Copy(out, in)
		return err
	})
}

// prepare makes the folders that a download needs, and marks the cache as one so that backups may leave it out.
func (c repoCache) prepare(etag string) error {
	for _, dir := range []string{filepath.Dir(c.blob(etag)), filepath.Dir(c.lock(etag))} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	tag := filepath.Join(c.root, "CACHEDIR.TAG")
	if _, err := os.Lstat(tag); errors.Is(err, fs.ErrNotExist) {
		atomicfile.WriteFile(tag, []byte("Signature: 8a477f597d28d172789f06886806bc55\n"+
			"# A cache of models from a hub, see https://bford.info/cachedir/\n"))
	}
	return nil
}
