package weights

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adavit/adavit/internal/regular"
)

// Checkpoint is the content of a file that some framework saved: tensors, and what else there is to know before using
// them. Tensors that share memory in the file (tied weights, an average that is the model itself) share Data here, so
// Data is for reading only.
type Checkpoint struct {
	*File         // of a .pth, the tensors in the order of its dict, and no Metadata
	Format string // "safetensors", "pth (zip)", "pth (before 1.6)", "npz"
	// Key is the entry of the outer dict that the tensors were taken from ("model"); "" if the dict itself holds them.
	Key string
	// Keys are all entries that hold tensors ("model", "model_ema", …), in the file's order, for choosing another.
	Keys    []string
	Globals []string // module.name of every global that the pickle names, sorted; none of them was run or imported

	// Args are the training script's options, where the file has a dict or an argparse.Namespace in entry "args": those
	// that are numbers ("5", "0.1"), strings, "True", "False" or "None". They are hints: a .pth does not say how its
	// tensors are meant.
	Args map[string]string
}

const (
	maxTensors = 1 << 16
	// The tensors of a .pth may be views of shared memory. All of them together may take viewFactor times the file and
	// viewSpare bytes.
	viewFactor = 4
	viewSpare  = 16 << 20
)

// usualKeys are the entries that training scripts save a model under; the first that is there is taken.
var usualKeys = []string{"model", "state_dict", "model_state_dict",
	"model_ema", "state_dict_ema", "model_ema_state_dict", "ema", "module", "net", "network",
	"teacher"} // of DINO, beside "student": the one that is used afterwards

// ReadCheckpoint reads the tensors of a checkpoint: safetensors, or what torch.save writes (.pth, .pt, .bin), in a zip
// archive or in the format before version 1.6, or what NumPy's savez writes (.npz). The content decides which, not the
// name's ending.
//
// key is the entry of a .pth's outer dict to take the tensors from. With key "", these are tried in turn: the entries
// that training scripts use (model, state_dict, model_state_dict, model_ema, …), the dict itself if no entry of it
// holds more tensors, the only entry that holds any. Where no entry holds a tensor, entries of entries are looked at in
// the same way, as OUTER.INNER. What is neither a tensor nor an object (a step counter, a list) is left out of the
// chosen dict.
//
// A tensor comes out contiguous and in its own element type.
//
// Nothing of a pickle is run. A class or function that it names is only a name, and an error if the chosen tensors
// depend on it. Before memory is taken, every length is checked against the file's size; the tensors take no more than
// four times the file and 16 MiB.
func ReadCheckpoint(path, key string) (*Checkpoint, error) {
	f, size, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	defer f.Close()
	return readCheckpoint(path, f, size, key)
}

// readCheckpoint reads size bytes of r; name stands for them in errors.
func readCheckpoint(name string, r io.ReaderAt, size int64, key string) (*Checkpoint, error) {
	c, err := decodeCheckpoint(r, size, key)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	return c, nil
}

func decodeCheckpoint(r io.ReaderAt, size int64, key string) (*Checkpoint, error) {
	start := make([]byte, min(size, 16))
	if err := readAt(r, start, 0); err != nil {
		return nil, err
	}
	var p *pthFile
	var err error
	switch {
	case strings.HasPrefix(string(start), zipLocal):
		var z *zipArchive
		if z, err = openZip(r, size); err != nil {
			return nil, err
		}
		if z.isNpz() {
			return z.checkpoint(size, key)
		}
		p, err = openPthZip(z, size)
	case len(start) > 8 && start[8] == '{': // ahead of the next case: a header's length may begin with any byte
		if key != "" {
			return nil, fmt.Errorf("entry %s is wanted, but a safetensors file has no entries", quoted(key))
		}
		f, err := decodeSafetensors(io.NewSectionReader(r, 0, size), size)
		if err != nil {
			return nil, err
		}
		return &Checkpoint{File: f, Format: "safetensors"}, nil
	case len(start) > 1 && start[0] == opProto:
		p, err = openPthLegacy(r, size)
	default:
		if err := mistaken(start); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("starts with %q: neither safetensors nor a PyTorch checkpoint nor NumPy's .npz", start)
	}
	if err != nil {
		return nil, err
	}
	return p.checkpoint(key)
}

// checkpoint chooses the dict and reads its tensors.
func (p *pthFile) checkpoint(key string) (*Checkpoint, error) {
	root, ok := p.root.(*pyDict)
	if !ok {
		hint := ""
		if _, ok := p.root.(*pyObject); ok {
			hint = " (nothing of a pickle is run: save the model's state_dict())"
		}
		return nil, fmt.Errorf("holds %s where a dict of tensors was expected%s", kindOf(p.root), hint)
	}
	if err := checkKeys(root); err != nil {
		return nil, err
	}
	c := &Checkpoint{Format: p.format, Globals: slices.Sorted(maps.Keys(p.globals)), Args: arguments(root)}
	dict, err := c.choose(root, key)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(dict); err != nil {
		return nil, fmt.Errorf("entry %s: %w", quoted(c.Key), err)
	}
	tensors, err := p.tensors(dict)
	if err != nil {
		return nil, err
	}
	c.File = &File{Tensors: tensors}
	c.reindex()
	return c, nil
}

// checkKeys refuses a dict in which a name appears twice.
func checkKeys(d *pyDict) error {
	seen := make(map[string]bool, len(d.keys))
	for _, k := range d.keys {
		if s, ok := k.(string); ok {
			if seen[s] {
				return fmt.Errorf("key %s appears twice", quoted(s))
			}
			seen[s] = true
		}
	}
	return nil
}

// choose finds the dict of tensors and fills Key and Keys.
func (c *Checkpoint) choose(root *pyDict, key string) (*pyDict, error) {
	counts := make(map[*pyDict]int) // of a dict's tensors; many entries may be one dict
	count := func(d *pyDict) int {
		n, ok := counts[d]
		if !ok {
			for _, v := range d.values {
				if _, ok := v.(*pthTensor); ok {
					n++
				}
			}
			counts[d] = n
		}
		return n
	}
	most := 0
	for i, k := range root.keys {
		name, ok := k.(string)
		if d, isDict := root.values[i].(*pyDict); ok && isDict && count(d) > 0 {
			c.Keys = append(c.Keys, name)
			most = max(most, count(d))
		}
	}
	if len(c.Keys) == 0 && count(root) == 0 {
		if inner := root.unfolded(count); len(inner.keys) > 0 {
			if err := checkKeys(inner); err != nil {
				return nil, err
			}
			return c.choose(inner, key)
		}
	}
	if key == "" {
		for _, usual := range usualKeys {
			v, _ := root.get(usual)
			if _, object := v.(*pyObject); object || slices.Contains(c.Keys, usual) {
				key = usual
				break
			}
			ends := func(name string) bool { return strings.HasSuffix(name, "."+usual) }
			if i := slices.IndexFunc(c.Keys, ends); i >= 0 { // of an entry of an entry
				key = c.Keys[i]
				break
			}
		}
	}
	if key == "" {
		switch own := count(root); {
		case own > 0 && own >= most:
			return root, nil
		case len(c.Keys) == 1:
			key = c.Keys[0]
		case len(c.Keys) == 0:
			return nil, errors.New("no tensors: neither the dict nor an entry of it holds any")
		default:
			return nil, fmt.Errorf("several entries hold tensors: choose one of %s", listed(c.Keys))
		}
	}
	c.Key = key
	switch v, ok := root.get(key); v := v.(type) {
	case *pyDict:
		if count(v) > 0 {
			return v, nil
		}
		return nil, fmt.Errorf("entry %s holds no tensors; these do: %s", quoted(key), listed(c.Keys))
	case *pyObject:
		return nil, fmt.Errorf("entry %s is %s, and nothing of a pickle is run; entries that hold tensors: %s",
			quoted(key), kindOf(v), listed(c.Keys))
	default:
		if !ok {
			return nil, fmt.Errorf("no entry %s; entries that hold tensors: %s", quoted(key), listed(c.Keys))
		}
		return nil, fmt.Errorf("entry %s is %s, not a dict of tensors", quoted(key), kindOf(v))
	}
}

// unfolded has the entries of d's entries that are dicts of tensors, called OUTER.INNER.
func (d *pyDict) unfolded(count func(*pyDict) int) *pyDict {
	flat, seen := &pyDict{}, make(map[*pyDict]bool) // many entries may be one dict
	for i, k := range d.keys {
		outer, isName := k.(string)
		inner, isDict := d.values[i].(*pyDict)
		if !isName || !isDict || seen[inner] {
			continue
		}
		seen[inner] = true
		for j, k := range inner.keys {
			name, isName := k.(string)
			if tensors, isDict := inner.values[j].(*pyDict); isName && isDict && count(tensors) > 0 {
				flat.keys, flat.values = append(flat.keys, outer+"."+name), append(flat.values, tensors)
			}
		}
	}
	return flat
}

// listed prints some names from an untrusted file.
func listed(names []string) string {
	const most = 10
	var list []string
	for _, name := range names[:min(len(names), most)] {
		list = append(list, quoted(name))
	}
	text := cmp.Or(strings.Join(list, ", "), "none")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// tensors reads the tensors of a dict.
func (p *pthFile) tensors(dict *pyDict) ([]Tensor, error) {
	var tensors []Tensor
	limit := min(p.size, math.MaxInt64/2/viewFactor)*viewFactor + viewSpare
	room := limit
	storages := make(map[*storageRef][]byte)
	uses := make(map[*storageRef]int) // still to come; a storage whose tensors were all copied is forgotten
	for _, v := range dict.values {
		if t, ok := v.(*pthTensor); ok {
			uses[t.storage]++
		}
	}
	for i, k := range dict.keys {
		name, isName := k.(string)
		if !isName {
			name = kindOf(k)
		}
		fail := func(format string, args ...any) ([]Tensor, error) {
			return nil, fmt.Errorf("tensor %s: %w", quoted(name), fmt.Errorf(format, args...))
		}
		t, isTensor := dict.values[i].(*pthTensor)
		if !isTensor {
			object, isObject := dict.values[i].(*pyObject)
			_, isGlobal := dict.values[i].(*pyGlobal)
			if isGlobal || isObject && *object.global != namespace {
				return fail("is %s, and nothing of a pickle is run", kindOf(dict.values[i]))
			}
			continue
		}
		if !isName {
			return nil, fmt.Errorf("a tensor has %s for a name", name)
		}
		if !utf8.ValidString(name) {
			return fail("name is not valid UTF-8")
		}
		if len(tensors) == maxTensors {
			return nil, fmt.Errorf("more than %d tensors", maxTensors)
		}
		shape, strides, n, err := t.layout()
		if err != nil {
			return fail("%w", err)
		}
		width := int64(t.dtype.Size())
		if int64(n) > room/width {
			return fail("with shape %v of %s the tensors take more than %d bytes, the limit for a file of %d",
				shape, t.dtype, limit, p.size)
		}
		room -= int64(n) * width
		storage, ok := storages[t.storage]
		if !ok && n > 0 {
			if storage, err = p.storage(t.storage); err != nil {
				return fail("%w", err)
			}
			storages[t.storage] = storage
		}
		if uses[t.storage]--; uses[t.storage] == 0 {
			delete(storages, t.storage)
		}
		tensors = append(tensors, Tensor{Name: name, DType: t.dtype, Shape: shape,
			Data: t.read(storage, shape, strides, n)})
	}
	return tensors, nil
}

// arguments returns the plain options in entry "args", nil if there are none.
func arguments(root *pyDict) map[string]string {
	v, _ := root.get("args")
	if o, ok := v.(*pyObject); ok && *o.global == namespace {
		v = o.state
	}
	d, ok := v.(*pyDict)
	if !ok {
		return nil
	}
	args := make(map[string]string)
	for i, k := range d.keys {
		name, ok := k.(string)
		if !ok {
			continue
		}
		switch v := d.values[i].(type) {
		case nil:
			args[name] = "None"
		case bool:
			args[name] = map[bool]string{false: "False", true: "True"}[v]
		case int64, float64, string:
			args[name] = fmt.Sprint(v)
		}
	}
	return args
}
