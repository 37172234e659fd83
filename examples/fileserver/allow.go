package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kith-go/kith"
)

// parseAllow reads what -allow says: IDs, or files that have them.
func parseAllow(dir string, values []string) ([]kith.ID, error) {
	var ids []kith.ID
	for _, v := range values {
		some, err := parseIDs(v)
		if err != nil && strings.ContainsAny(v, ",") {
			return nil, usagef("serve: -allow: %v", err)
		}
		if err != nil {
			if some, err = readIDs(dir, v); err != nil {
				return nil, err
			}
		}
		ids = append(ids, some...)
	}
	if len(ids) == 0 {
		return nil, usagef("serve: nobody is let in: -allow takes the IDs of clients, which they print by \"fileserver id -key client.key\"")
	}
	return ids, nil
}

func parseIDs(text string) ([]kith.ID, error) {
	var ids []kith.ID
	for part := range strings.SplitSeq(text, ",") {
		id, err := kith.ParseID(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// readIDs reads a file with one ID a line. What follows a # is a comment.
func readIDs(dir, path string) ([]kith.ID, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("serve: -allow %q is neither an ID nor a file", path)
	}
	if err != nil {
		return nil, err
	}
	if err := outside(dir, path); err != nil {
		return nil, usagef("serve: -allow: %v", err)
	}
	var ids []kith.ID
	line := 0
	for text := range strings.Lines(string(text)) {
		line++
		text, _, _ = strings.Cut(text, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		id, err := kith.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// outside fails if a file is in the directory that is served, where clients
// could fetch it or put another in its place.
func outside(dir, path string) error {
	root, err := os.Stat(dir)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, filepath.Base(abs))
	}
	for at := filepath.Dir(abs); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, root) {
			return fmt.Errorf("%s is in the directory that is served", path)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
