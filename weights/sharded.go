package weights

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adavit/adavit/internal/strictjson"
)

// The usual names of the index of a model whose tensors are spread over several files, the shards: safetensors, or what
// PyTorch saved.
const (
	IndexFile        = "model.safetensors.index.json"
	PytorchIndexFile = "pytorch_model.bin.index.json"
)

// MaxIndex bounds an index in bytes; the largest language models take a few megabytes.
const MaxIndex = 32 << 20

const (
	maxShards    = 4096
	maxShardName = 255 // bytes; what file systems allow
)

// ReadSharded reads a model in several files. index is the content of its index file, JSON as transformers writes it,
//
//	{"metadata": {"total_size": 88244640}, "weight_map": {"TENSOR": "model-00001-of-00002.safetensors", …}}
//
// and indexName that file's name or path, which stands for it in errors and gives the shards' directory there. open
// returns a shard's bytes and their number; a shard's name is a plain file name that ends in .safetensors or .bin. What
// open returns for the latter, PyTorch's files, must be an io.ReaderAt too, as files are.
//
// Map and shards must agree exactly: every tensor lies in the shard that the map names and in no other, and no shard
// holds a tensor that the map leaves out. What transformers writes does; what does not is a mixture of two models.
// metadata is ignored: its total_size is wrong in files that are otherwise good. The result's tensors are in the order
// of the shards' names, then of their bytes; its Metadata has the first shard's word where shards differ. No more
// memory is taken than the shards have bytes.
func ReadSharded(indexName string, index []byte, open func(shard string) (io.ReadCloser, int64, error)) (*File, error) {
	return sharded(indexName, index, open, false)
}

// OpenSharded is ReadSharded that leaves the tensors of those safetensors files where they are that are io.ReaderAts,
// as OpenSafetensors does: these files stay open.
func OpenSharded(indexName string, index []byte, open func(shard string) (io.ReadCloser, int64, error)) (*File, error) {
	return sharded(indexName, index, open, true)
}

// sharded is ReadSharded, or OpenSharded if the tensors stay.
func sharded(indexName string, index []byte, open func(shard string) (io.ReadCloser, int64, error), stay bool) (
	*File, error) {
	x, err := parseShardIndex(index)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", indexName, err)
	}
	whole := &File{Metadata: make(map[string]string)}
	for _, shard := range x.shards {
		path := filepath.Join(filepath.Dir(indexName), shard)
		f, err := readShard(path, shard, open, stay)
		if err != nil {
			return nil, err
		}
		for _, t := range f.Tensors {
			switch mapped, ok := x.shardOf[t.Name]; {
			case !ok:
				return nil, fmt.Errorf("weights: %s: tensor %s is not in the map of %s: from another model?",
					path, quoted(t.Name), indexName)
			case mapped != shard:
				return nil, fmt.Errorf("weights: %s: tensor %s should be in %s alone, says %s",
					path, quoted(t.Name), mapped, indexName)
			}
		}
		whole.Tensors = append(whole.Tensors, f.Tensors...)
		for k, v := range f.Metadata {
			if _, ok := whole.Metadata[k]; !ok {
				whole.Metadata[k] = v
			}
		}
	}
	whole.reindex()
	for _, name := range slices.Sorted(maps.Keys(x.shardOf)) {
		if _, ok := whole.index[name]; !ok {
			return nil, fmt.Errorf("weights: %s: tensor %s is not in %s, where the map has it",
				indexName, quoted(name), x.shardOf[name])
		}
	}
	return whole, nil
}

// readShard reads one file, whole unless it stays open.
func readShard(path, shard string, open func(string) (io.ReadCloser, int64, error), stay bool) (*File, error) {
	r, size, err := open(shard)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	at, ok := r.(io.ReaderAt)
	safe := strings.HasSuffix(shard, shardSuffixes[0])
	if safe && stay && ok {
		return OpenSafetensors(path, at, size)
	}
	defer r.Close()
	if safe {
		return ReadSafetensorsFrom(path, r, size)
	}
	if !ok {
		return nil, fmt.Errorf("weights: %s: PyTorch's files can be read from disk only", path)
	}
	c, err := readCheckpoint(path, at, size, "")
	if err != nil {
		return nil, err
	}
	return c.File, nil
}

// shardSuffixes are what a shard's name may end in.
var shardSuffixes = [...]string{".safetensors", ".bin"}

// ShardNames returns the names of the shards that an index file lists, each once and sorted. The names are checked:
// each is a plain file name that ends in .safetensors or .bin.
func ShardNames(index []byte) ([]string, error) {
	x, err := parseShardIndex(index)
	if err != nil {
		return nil, err
	}
	return x.shards, nil
}

// shardIndex is an index file's content.
type shardIndex struct {
	shardOf map[string]string // tensor → shard
	shards  []string          // each once, sorted
}

// parseShardIndex reads an index file, strictly where it says which tensor is where; keys beside weight_map are
// skipped.
func parseShardIndex(text []byte) (*shardIndex, error) {
	if len(text) > MaxIndex {
		return nil, fmt.Errorf("index of %d bytes is beyond the limit of %d", len(text), MaxIndex)
	}
	var j struct {
		ShardOf map[string]string `json:"weight_map"`
	}
	if err := strictjson.UnmarshalKnown(text, &j, strictjson.NoNull); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	switch {
	case j.ShardOf == nil:
		return nil, errors.New(`index: key "weight_map" is missing`)
	case len(j.ShardOf) == 0:
		return nil, errors.New("index: weight_map: names no tensor")
	}
	shards := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(j.ShardOf)) { // of several faults always the same is told
		shard := j.ShardOf[name]
		if err := checkShardName(shard); err != nil {
			return nil, fmt.Errorf("index: weight_map: tensor %s: %w", quoted(name), err)
		}
		shards[shard] = true
	}
	if len(shards) > maxShards {
		return nil, fmt.Errorf("index: weight_map: %d shards, at most %d are read", len(shards), maxShards)
	}
	return &shardIndex{j.ShardOf, slices.Sorted(maps.Keys(shards))}, nil
}

// checkShardName refuses whatever is not the name of a shard in the index's own directory: the name comes from outside
// and becomes part of a path, and of a URL.
func checkShardName(shard string) error {
	isShard := func(suffix string) bool { return strings.HasSuffix(shard, suffix) && len(shard) > len(suffix) }
	switch {
	case len(shard) > maxShardName:
		return fmt.Errorf("shard name of %d bytes, at most %d are possible", len(shard), maxShardName)
	case strings.ContainsAny(shard, `/\:`) || strings.HasPrefix(shard, "."):
		return fmt.Errorf("shard %s is not a plain file name", quoted(shard))
	case strings.ContainsFunc(shard, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }):
		return fmt.Errorf("shard %s has a control character in its name", quoted(shard))
	case !slices.ContainsFunc(shardSuffixes[:], isShard):
		return fmt.Errorf("shard %s is not a .safetensors file, nor a .bin", quoted(shard))
	}
	return nil
}
