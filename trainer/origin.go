package trainer

import (
	"encoding/json"
	"fmt"

	"github.com/adavit/adavit/vit"
)

// origin is what a run begins with besides its recipe and its data, as checksums. A checkpoint has it: a run goes on
// from what it began with only.
type origin struct {
	Start   string `json:"start"`             // of the parameters, before they are cut (slice)
	Teacher string `json:"teacher,omitempty"` // of the teacher's architecture and parameters
}

// originOf is the origin of a run that starts from p; teacher may be nil.
func originOf(p *vit.Params, teacher *vit.Model) (o origin, err error) {
	if o.Start, err = p.Checksum(nil); err != nil || teacher == nil {
		return o, err
	}
	about, err := json.Marshal(teacher.Params.Config)
	if err == nil {
		o.Teacher, err = teacher.Params.Checksum(about)
	}
	return o, err
}

// since says what is not as it was when a checkpoint was written, whose origin that is as JSON: "", as older programs
// left it, tells of no change.
func (o origin) since(text string) (string, error) {
	var before origin
	if text == "" {
		return "", nil
	}
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		return "", fmt.Errorf("origin: %w", err)
	}
	switch {
	case before.Start != o.Start:
		return "it began with other weights: name the model that it began with (init, --init), as it was then", nil
	case before.Teacher != o.Teacher:
		return "it learnt from another teacher: name the one that it began with (distill), as it was then", nil
	}
	return "", nil
}
