package weights

// What a pickle can hold besides nil, bool, int64, float64, string and tensors. All but bigInt and pyBytes are handled
// by pointers, which tell one value from another.
type (
	bigInt   []byte // a whole number of more than 64 bits: two's complement, little endian
	pyBytes  []byte // bytes or bytearray
	pyGlobal struct{ module, name string }

	pyTuple struct { // tuple or torch.Size
		items []any
		visit
	}
	pyList struct { // list, set or frozenset
		items []any
		visit
	}
	pyDict struct { // dict or OrderedDict, in the order of writing; a key may stand there twice
		keys, values []any
		visit
	}
)

// pyObject stands for what a global that is not run would have made. It is never a tensor.
type pyObject struct {
	global *pyGlobal
	state  any // its attributes, usually a *pyDict; nil if the pickle gives none
	visit
}

// visit is what checkNesting knows of a value.
type visit byte

const (
	unseen visit = iota
	open         // above the value being looked at
	done
)

func (g *pyGlobal) String() string { return g.module + "." + g.name }

// namespace is argparse's result, the training script's options.
var namespace = pyGlobal{"argparse", "Namespace"}

// get returns the value of a key that is a string.
func (d *pyDict) get(key string) (any, bool) {
	for i, k := range d.keys {
		if s, ok := k.(string); ok && s == key {
			return d.values[i], true
		}
	}
	return nil, false
}

// kindOf says what a value is, in a few words and whatever it contains.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a boolean"
	case int64, bigInt:
		return "a whole number"
	case float64:
		return "a number"
	case string:
		return "a string"
	case pyBytes:
		return "bytes"
	case *pyTuple:
		return "a tuple"
	case *pyList:
		return "a list"
	case *pyDict:
		return "a dict"
	case *pyGlobal:
		return "the global " + quoted(v.String())
	case *pyObject:
		return "an object of the global " + quoted(v.global.String())
	case *storageRef:
		return "a storage"
	case *pthTensor:
		return "a tensor"
	}
	return "something unknown"
}

// checkNesting refuses a value that contains itself or lies deeper than maxDepth. A value that is reached by several
// ways is looked at once, so the work is that of the pickle's length, not of the tree that it stands for.
func checkNesting(v any, depth int) {
	var state *visit
	var items, more []any
	switch v := v.(type) {
	case *pyTuple:
		state, items = &v.visit, v.items
	case *pyList:
		state, items = &v.visit, v.items
	case *pyDict:
		state, items, more = &v.visit, v.keys, v.values
	case *pyObject:
		state, items = &v.visit, []any{v.state}
	default:
		return
	}
	switch {
	case *state == open:
		panic(faultf("%s that contains itself", kindOf(v)))
	case *state == done:
		return
	case depth == maxDepth:
		panic(faultf("values nested more than %d deep", maxDepth))
	}
	*state = open
	for _, part := range [...][]any{items, more} {
		for _, item := range part {
			checkNesting(item, depth+1)
		}
	}
	*state = done
}
