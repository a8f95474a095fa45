package data

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxNames bounds what a pattern may stand for.
const maxNames = 100_000

// expandBraces lists the names that a pattern stands for, as a shell would: each {000..012} is every number from the
// one to the other, with zeros in front if either has them, each {a,b} one of the words; several braces give all
// combinations, the last one changing fastest. Braces inside braces are an error, and so are more than 100 000 names.
func expandBraces(pattern string) ([]string, error) {
	before, inside, found := strings.Cut(pattern, "{")
	if strings.Contains(before, "}") {
		return nil, errors.New("a } without its {")
	}
	if !found {
		return []string{pattern}, nil
	}
	inner, after, closed := strings.Cut(inside, "}")
	if !closed || strings.Contains(inner, "{") {
		return nil, errors.New("a { without its }")
	}
	choices, err := choices(inner)
	if err != nil {
		return nil, err
	}
	ends, err := expandBraces(after)
	if err != nil {
		return nil, err
	}
	if len(ends) > maxNames/len(choices) {
		return nil, fmt.Errorf("more than %d names", maxNames)
	}
	var names []string
	for _, choice := range choices {
		for _, end := range ends {
			names = append(names, before+choice+end)
		}
	}
	return names, nil
}

// choices lists what the inside of braces stands for, at least one thing.
func choices(inner string) ([]string, error) {
	from, to, ok := strings.Cut(inner, "..")
	if !ok {
		if !strings.Contains(inner, ",") {
			return nil, fmt.Errorf("{%s}: want numbers, {000..012}, or words, {a,b}", inner)
		}
		return strings.Split(inner, ","), nil
	}
	a, err1 := strconv.ParseUint(from, 10, 63)
	b, err2 := strconv.ParseUint(to, 10, 63)
	switch {
	case err1 != nil || err2 != nil || len(from) > 20 || len(to) > 20:
		return nil, fmt.Errorf("{%s}: want two numbers, as in {000..012}", inner)
	case a > b:
		return nil, fmt.Errorf("{%s}: the first number is the larger one", inner)
	case b-a >= maxNames:
		return nil, fmt.Errorf("{%s}: more than %d names", inner, maxNames)
	}
	width := 0
	if from[0] == '0' || to[0] == '0' {
		width = max(len(from), len(to))
	}
	var names []string
	for n := a; n <= b; n++ {
		names = append(names, fmt.Sprintf("%0*d", width, n))
	}
	return names, nil
}
