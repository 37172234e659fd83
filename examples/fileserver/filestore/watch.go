package filestore

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/kith-go/kith/examples/fileserver/fileapi"
)

// scan returns all files, sorted by name.
func (s *Store) scan(ctx context.Context) ([]fileapi.File, error) {
	var files []fileapi.File
	err := s.walk(ctx, "", func(f fileapi.File) bool {
		files = append(files, f)
		return true
	})
	slices.SortFunc(files, func(a, b fileapi.File) int { return strings.Compare(a.Name, b.Name) })
	return files, err
}

// watch serves fileapi.Watch.
func (s *Store) watch(ctx context.Context, r fileapi.WatchRequest) iter.Seq2[fileapi.Event, error] {
	return func(yield func(fileapi.Event, error) bool) {
		send := func(e fileapi.Event) bool {
			return !strings.HasPrefix(e.File.Name, r.Prefix) || yield(e, nil)
		}
		err := fileapi.CheckPrefix(r.Prefix)
		if err == nil {
			err = s.follow(ctx, r.Snapshot, send, func() bool { return yield(fileapi.Event{Change: fileapi.Ready}, nil) })
		}
		if err != nil {
			yield(fileapi.Event{}, readError(err))
		}
	}
}

// follow sends what there is if asked to, says that it is ready, and sends
// what changes from then on, until one of the two returns false.
func (s *Store) follow(ctx context.Context, first bool, send func(fileapi.Event) bool, ready func() bool) error {
	seen, err := s.hub.join(ctx)
	if err != nil {
		return err
	}
	defer s.hub.leave()
	if first {
		for _, f := range seen.files {
			if !send(fileapi.Event{Change: fileapi.Present, File: f}) {
				return nil
			}
		}
	}
	if !ready() {
		return nil
	}
	for {
		now, err := s.hub.after(ctx, seen.number)
		if err != nil {
			return err
		}
		for e := range changes(seen.files, now.files) {
			if !send(e) {
				return nil
			}
		}
		seen = now
	}
}

// changes gives what makes one sorted list of files another.
func changes(before, after []fileapi.File) iter.Seq[fileapi.Event] {
	return func(yield func(fileapi.Event) bool) {
		if len(before) == len(after) && (len(before) == 0 || &before[0] == &after[0]) {
			return // the same list
		}
		for len(before)+len(after) > 0 {
			var e fileapi.Event
			switch order := compare(before, after); {
			case order < 0:
				e = fileapi.Event{Change: fileapi.Removed, File: before[0]}
				before = before[1:]
			case order > 0:
				e = fileapi.Event{Change: fileapi.Added, File: after[0]}
				after = after[1:]
			default:
				if before[0] != after[0] {
					e = fileapi.Event{Change: fileapi.Changed, File: after[0]}
				}
				before, after = before[1:], after[1:]
			}
			if e.Change != "" && !yield(e) {
				return
			}
		}
	}
}

// compare compares the first names of two lists that are not both empty. An
// empty one comes last.
func compare(a, b []fileapi.File) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return strings.Compare(a[0].Name, b[0].Name)
}
