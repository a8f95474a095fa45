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

// TestListWithMark: the byte order mark that editors put before UTF-8 is no part of the first name.
func TestListWithMark(t *testing.T) {
	files, err := Files{List: "-", Stdin: strings.NewReader("\ufeffa.png\r\nb.png\n")}.Resolve()
	if err != nil || len(files) != 2 || files[0].Name != "a.png" || files[1].Name != "b.png" {
		t.Errorf("%+v, %v", files, err)
	}
}
