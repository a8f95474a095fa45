package main

import (
	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

// imageFlags are the flags of the commands that read image files.
type imageFlags struct {
	list, exif string
	maxPixels  int64
}

// imageHelp explains them.
const imageHelp = "\n\nIMAGE is a JPEG, PNG, GIF, WebP, BMP or TIFF file, whatever it is called; a directory, for the images in it and below it, sorted by path; a\n" +
	"pattern such as 'photos/*.jpg' that the shell left alone; or -, an image on standard input."

func (a *app) imageFlags(cmd *cobra.Command) *imageFlags {
	var i imageFlags
	f := cmd.Flags()
	f.StringVar(&i.list, "list", "", "`file` that lists more images, one a line; - is standard input")
	f.StringVar(&i.exif, "exif", "ignore", "`what` to do with an orientation in EXIF: ignore, as training usually does, or apply")
	f.Int64Var(&i.maxPixels, "max-pixels", 100_000_000, "refuse images of more than this `number` of pixels")
	return &i
}

// files checks the flags and joins them with the arguments.
func (i *imageFlags) files(a *app, cmd *cobra.Command, args []string) (adavit.ImageFiles, error) {
	f := adavit.ImageFiles{Names: args, List: i.list, Stdin: a.in}
	if len(args) == 0 && i.list == "" {
		return f, usage("missing argument: an image file")
	}
	switch i.exif {
	case "ignore":
	case "apply":
		f.Exif = true
	default:
		return f, usage("--exif is %q, want ignore or apply", i.exif)
	}
	f.MaxPixels = i.maxPixels
	return f, atLeastOne(cmd, "max-pixels")
}
