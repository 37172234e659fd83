package fetch

import (
	"context"
	"errors"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/shareapi"
)

// ErrListing says that a list of files breaks the rules of package shareapi.
var ErrListing = errors.New("not a list of files")

// List returns what a node offers, in the order of the names: at most
// [shareapi.MaxFiles], whatever it says. On an error, it is what came before.
func List(ctx context.Context, c kith.Caller) ([]shareapi.File, error) {
	var files []shareapi.File
	for page := (shareapi.Page{}); ; {
		l, err := shareapi.List.Call(ctx, c, page)
		if err != nil {
			return files, err
		}
		if !l.Check(page) {
			return files, ErrListing
		}
		files = append(files, l.Files[:min(len(l.Files), shareapi.MaxFiles-len(files))]...)
		if !l.More || len(files) == shareapi.MaxFiles {
			return files, nil
		}
		page.After = files[len(files)-1].Name
	}
}
