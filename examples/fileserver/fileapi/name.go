package fileapi

import (
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TempDir is the directory at the server's root that holds what has not
// arrived whole. It is no part of any name, in whatever case.
const TempDir = ".partial"

// The limits of names. File systems have 255 bytes for a part, mostly.
const (
	maxName  = 1024
	maxPart  = 255
	maxParts = 32
)

// CheckName returns nil if name may be the name of a file: a relative path of
// parts joined by slashes, none of them empty, "." or "..", of printable
// characters without a backslash, within the limits, and not in [TempDir].
// Otherwise it returns an error that matches [ErrName] and says what is wrong.
func CheckName(name string) error {
	switch {
	case name == "":
		return ErrName.WithMessage("the name is empty")
	case len(name) > maxName:
		return ErrName.WithMessage("the name is longer than %d bytes", maxName)
	case !utf8.ValidString(name), strings.ContainsFunc(name, forbidden):
		return ErrName.WithMessage("the name has a backslash or an unprintable character: %+q", name)
	case !fs.ValidPath(name), name == ".":
		return ErrName.WithMessage("the name is not a relative path without \".\" and \"..\": %q", name)
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxParts {
		return ErrName.WithMessage("the name has more than %d parts", maxParts)
	}
	if strings.EqualFold(parts[0], TempDir) {
		return ErrName.WithMessage("%s is the server's own", TempDir)
	}
	for _, p := range parts {
		if len(p) > maxPart {
			return ErrName.WithMessage("a part of the name is longer than %d bytes", maxPart)
		}
	}
	return nil
}

// CheckPrefix returns nil if names can begin with prefix: it is empty, or what
// [CheckName] lets pass, with or without a slash behind.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckName(strings.TrimSuffix(prefix, "/"))
}

// forbidden is true for what is a separator on some systems, and for what
// terminals or file systems do not take as it is: control characters, and
// those that cannot be seen.
func forbidden(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }
