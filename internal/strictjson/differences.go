package strictjson

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxDifferences bounds what Differences names.
const maxDifferences = 10

// Differences says where two JSON texts differ, as "lr 0.1 → 0.2, halting.policy (none) → token"; "" if they do not.
// Numbers that are written otherwise are others. Of many differences some are named. Text that is no JSON is an error.
func Differences(before, now []byte) (string, error) {
	var flat [2]map[string]string
	for i, text := range [][]byte{before, now} {
		var v any
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return "", err
		}
		flat[i] = map[string]string{}
		flatten(flat[i], "", v)
	}
	all := maps.Clone(flat[0])
	maps.Copy(all, flat[1])
	var list []string
	more := 0
	for _, key := range slices.SortedFunc(maps.Keys(all), inOrder) {
		was, is := value(flat[0], key), value(flat[1], key)
		switch {
		case was == is:
		case len(list) == maxDifferences:
			more++
		default:
			list = append(list, fmt.Sprintf("%s %s → %s", cmp.Or(key, "all of it"), was, is))
		}
	}
	text := strings.Join(list, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text, nil
}

// value is what a key has, shortened; "(none)" if it is not there.
func value(flat map[string]string, key string) string {
	v, ok := flat[key]
	if !ok {
		return "(none)"
	}
	const most = 80
	if r := []rune(v); len(r) > most {
		return string(r[:most]) + "…"
	}
	return v
}

// flatten writes the values in v that are neither objects nor arrays to flat, by their paths. Empty ones are values.
func flatten(flat map[string]string, path string, v any) {
	under := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			flatten(flat, under(key), child)
		}
		if len(v) == 0 {
			flat[path] = "{}"
		}
	case []any:
		for i, child := range v {
			flatten(flat, under(strconv.Itoa(i)), child)
		}
		if len(v) == 0 {
			flat[path] = "[]"
		}
	case string:
		flat[path] = v
	default:
		flat[path] = fmt.Sprint(v)
	}
}

// inOrder compares paths; the items of an array are in their order.
func inOrder(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, err1 := strconv.Atoi(x[i])
		m, err2 := strconv.Atoi(y[i])
		if err1 == nil && err2 == nil && n != m {
			return cmp.Compare(n, m)
		}
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}
