package picture

import (
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// TestNamesRefused: what is wrong with the names as a whole is said before any file is read.
func TestNamesRefused(t *testing.T) {
	for _, v := range []struct {
		files Files
		want  string
	}{
		{Files{}, "no images given"},
		{Files{Names: []string{"a.jpg", "", "b.jpg"}}, "the name of image 2 is empty"},
		{Files{Names: []string{"-"}}, "standard input (-) is named, but none was given"},
		{Files{List: "-"}, "standard input (-) is named, but none was given"},
		{Files{Names: []string{"-", "-"}, Stdin: strings.NewReader("")}, "standard input (-) is named more than once"},
	} {
		_, err := v.files.Resolve()
		filetest.WantError(t, err, v.want)
	}
}
