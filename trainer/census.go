package trainer

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/adavit/adavit/data"
)

// census is what a run's data are made of, part by part. A checkpoint has it: a run goes on with the same data only.
type census map[data.Split]data.Census

// splits are the parts in their order.
var splits = []data.Split{data.Train, data.Validation, data.Test}

// censusOf counts the parts that there are.
func censusOf(p data.Parts) census {
	c := census{}
	for i, d := range []data.Dataset{p.Train, p.Validation, p.Test} {
		if d != nil {
			c[splits[i]] = data.CensusOf(d)
		}
	}
	return c
}

// since says what has changed since a checkpoint was written, whose census that is as JSON: "", as older programs left
// it, tells of no change.
func (c census) since(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var before census
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	var changes []string
	for _, split := range splits {
		was, had := before[split]
		is, has := c[split]
		switch {
		case had && !has:
			changes = append(changes, fmt.Sprintf("there is no %s part any more", split))
		case has && !had && split != data.Test: // which nothing depends on
			changes = append(changes, fmt.Sprintf("there is a %s part now", split))
		case has && had:
			if text := is.Changes(was); text != "" {
				changes = append(changes, fmt.Sprintf("%s: %s", split, text))
			}
		}
	}
	return strings.Join(changes, "; "), nil
}
