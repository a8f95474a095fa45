package adavit

import (
	"context"
	"fmt"

	"github.com/adavit/adavit/hub"
)

// Fetch turns the name of a model on a hub, hf:owner/name or hf:owner/name@revision, into the directory that holds it, downloading what the
// cache lacks. Any other name is returned as it is, so that every model's name can go through Fetch on its way to Open.
//
// Hub, token and cache are those of the environment (hub.Default says which variables), shared with Python's huggingface_hub.
// progress, which may be nil, is told how many of a file's bytes have come; total is −1 while it is not known. A cancelled download is
// resumed by the next Fetch. A malformed reference is an error that wraps ErrUsage.
func Fetch(ctx context.Context, name string, progress func(file string, done, total int64)) (nameOrDir string, err error) {
	repo, revision, ok, err := hub.ParseReference(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if !ok {
		return name, nil
	}
	h := hub.Default()
	h.Progress = progress
	return h.Model(ctx, repo, revision)
}
