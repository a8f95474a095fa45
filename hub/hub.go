// Package hub downloads models from Hugging Face's hub, or another one that speaks its protocol, into the cache that
// Python's huggingface_hub uses too.
package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/adavit/adavit/weights"
)

// Hub is a place that models are downloaded from, Hugging Face's by default, and the cache that they are kept in.
//
// The cache has the layout of Python's huggingface_hub, so that both use the same files (see repoCache). Nothing there
// gets its final name before its checksum is right, and an interrupted download goes on where it stopped. Several
// processes may use one cache.
type Hub struct {
	Endpoint string       // URL that repositories lie under, such as https://huggingface.co
	Token    string       // sent to Endpoint and to no other host; "" for none
	Cache    string       // directory
	Offline  bool         // use the cache alone
	Client   *http.Client // nil is http.DefaultClient; its CheckRedirect is not used
	// Progress is told the bytes of a file so far, from Model's own goroutine; total is −1 while it is not known.
	Progress func(file string, done, total int64)
	// Log is told of a cache that is used for want of the hub, and of waiting; may be nil.
	Log *slog.Logger

	timing timing // zero means the usual
}

// timing is how patient a download is.
type timing struct {
	answer  time.Duration // a HEAD's answer
	stall   time.Duration // a download in which nothing arrives
	backoff time.Duration // wait after the first failure, doubled after each further one
	longest time.Duration // bounds the wait, also one that the server asks for
	tries   int           // failures in a row before giving up
}

var usualTiming = timing{answer: 10 * time.Second, stall: 30 * time.Second,
	backoff: time.Second, longest: 30 * time.Second, tries: 5}

const (
	defaultRevision = "main"
	hubConfig       = "config.json"
	hubPreprocessor = "preprocessor_config.json"
	hubProcessor    = "processor_config.json" // which newer repositories have in its place
	hubWeights      = "model.safetensors"
	hubPickle       = "pytorch_model.bin"

	maxHubJSON    = 16 << 20 // bytes of config.json and of preprocessor_config.json
	maxHubWeights = 64 << 30 // bytes of a model's weights, all shards together
)

// weightFiles are the files that a model's weights are taken from, the best first; an index names others, the shards.
var weightFiles = [...]struct {
	name  string
	limit int64 // bytes
	index bool
}{
	{hubWeights, maxHubWeights, false}, {weights.IndexFile, weights.MaxIndex, true},
	{hubPickle, maxHubWeights, false}, {weights.PytorchIndexFile, weights.MaxIndex, true},
}

// Model makes a repository's model available and returns the directory that holds it: config.json, the weights, and
// preprocessor_config.json if there is one. The weights are model.safetensors, else model.safetensors.index.json with
// all its shards, else pytorch_model.bin, else its index with all shards. revision is a branch, a tag or a commit; ""
// is main.
//
// A commit whose files are all in the cache costs no request, a branch or tag that has not moved costs one. Where the
// hub cannot be reached and the cache has all of what the revision meant last, that is returned and a warning is
// logged. A failed or cancelled download leaves what has arrived for the next try.
func (h Hub) Model(ctx context.Context, repo, revision string) (dir string, err error) {
	revision = cmp.Or(revision, defaultRevision)
	if err := check(repo, revision); err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	h.Log, h.timing = cmp.Or(h.Log, slog.New(slog.DiscardHandler)), cmp.Or(h.timing, usualTiming)
	if h.Progress == nil {
		h.Progress = func(string, int64, int64) {}
	}
	dir, err = h.model(ctx, repo, revision)
	if err != nil {
		return "", fmt.Errorf("hub: hf:%s@%s: %w", repo, revision, err)
	}
	return dir, nil
}

func (h Hub) model(ctx context.Context, repo, revision string) (string, error) {
	if h.Cache == "" {
		return "", errors.New("no cache directory: set HF_HUB_CACHE or HF_HOME")
	}
	cache := repoCache{h.Cache, repo}
	if isCommit(revision) && len(cache.missing(revision, true)) == 0 {
		return cache.snapshot(revision), nil
	}
	cached, cacheErr := cache.find(revision)
	if h.Offline {
		if cacheErr != nil {
			return "", fmt.Errorf("%w; nothing is downloaded in offline mode (HF_HUB_OFFLINE)", cacheErr)
		}
		return cached, nil
	}
	r, err := newRemote(h, cache)
	if err != nil {
		return "", err
	}
	tries := r.timing.tries
	if cacheErr == nil {
		tries = 1 // there is something to fall back to
	}
	config, err := r.head(ctx, revision, hubConfig, tries)
	if err != nil {
		if ctx.Err() != nil || !unreachable(err) {
			return "", err
		}
		if cacheErr != nil {
			return "", fmt.Errorf("%w; and %w", err, cacheErr)
		}
		h.Log.Warn("the hub cannot be reached; the cached model is used, which may not be the newest",
			"repo", repo, "revision", revision, "error", err)
		return cached, nil
	}
	commit := config.commit
	if len(cache.missing(commit, true)) == 0 {
		cache.setRef(revision, commit) // a cache that cannot be written to can be read all the same
		return cache.snapshot(commit), nil
	}
	if err := r.fetch(ctx, config); err != nil {
		return "", err
	}
	if lacking := cache.missing(commit, false); len(lacking) > 0 {
		return "", fmt.Errorf("%s: %s not there after the download: removed by another program?",
			cache.snapshot(commit), strings.Join(lacking, ", "))
	}
	// Only now: until the new commit is whole, the revision's name stands for the old one, which an offline run can
	// use.
	if err := cache.setRef(revision, commit); err != nil {
		return "", err
	}
	return cache.snapshot(commit), nil
}

// fetch downloads what a commit's snapshot lacks.
func (r *remote) fetch(ctx context.Context, config remoteFile) error {
	if err := r.get(ctx, config, maxHubJSON); err != nil {
		return err
	}
	commit := config.commit
	for _, name := range []string{hubPreprocessor, hubProcessor} {
		if found, err := r.getOptional(ctx, commit, name, maxHubJSON); err != nil {
			return err
		} else if found {
			break
		}
	}
	for _, file := range weightFiles {
		found, err := r.getOptional(ctx, commit, file.name, file.limit)
		switch {
		case err != nil:
			return err
		case found && file.index:
			return r.fetchShards(ctx, commit, file.name)
		case found:
			return nil
		}
	}
	return fmt.Errorf("the repository has none of %s, %s, %s and %s", hubWeights, weights.IndexFile, hubPickle,
		weights.PytorchIndexFile)
}

// fetchShards downloads what the snapshot's file index names. All are asked for before the first is downloaded, so that
// one that does not exist is known before gigabytes have come.
func (r *remote) fetchShards(ctx context.Context, commit, index string) error {
	shards, err := r.cache.shards(commit, index)
	if err != nil {
		return err
	}
	files := make([]remoteFile, len(shards))
	total := int64(0)
	for i, shard := range shards {
		if files[i], err = r.head(ctx, commit, shard, r.timing.tries); err != nil {
			return err
		}
		if total += max(0, files[i].size); total > maxHubWeights {
			return fmt.Errorf("the shards have more than %d bytes together", int64(maxHubWeights))
		}
	}
	for _, f := range files {
		if err := r.get(ctx, f, maxHubWeights); err != nil {
			return err
		}
	}
	return nil
}

// getOptional downloads a file unless the repository has none of that name.
func (r *remote) getOptional(ctx context.Context, commit, file string, limit int64) (found bool, err error) {
	if r.cache.absent(commit, file) {
		return false, nil
	}
	f, err := r.head(ctx, commit, file, r.timing.tries)
	if isAbsent(err) {
		r.cache.setAbsent(commit, file) // saves a request next time; no more than that
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, r.get(ctx, f, limit)
}

// quoted is a text from outside as errors show it.
func quoted(s string) string { return fmt.Sprintf("%.120q", s) }
