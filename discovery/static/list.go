package static

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// The limits of a list.
const (
	maxFile    = 1 << 20
	maxEntries = 4096
	maxFaults  = 5 // lines that an error names
)

// An entry is one address of the list.
type entry struct {
	id   kith.ID
	addr string // without the ID
}

var errNoID = errors.New("no ID: want scheme://ID@host")

// A parser reads entries. It remembers the IDs, as to check one takes a while and they often repeat.
type parser struct {
	ids map[string]kith.ID
}

func newParser() *parser { return &parser{ids: make(map[string]kith.ID)} }

// entry reads an address with its ID.
func (p *parser) entry(s string) (entry, error) {
	if len(s) > 2*discovery.MaxAddr {
		return entry{}, fmt.Errorf("address of %d bytes, too long", len(s))
	}
	scheme, rest, ok := strings.Cut(s, "://")
	text, host, at := strings.Cut(rest, "@")
	if !ok || !at {
		return entry{}, errNoID
	}
	id, known := p.ids[text]
	if !known {
		var err error
		if id, err = kith.ParseID(text); err != nil {
			return entry{}, err
		}
		p.ids[text] = id
	}
	e := entry{id, scheme + "://" + host}
	return e, discovery.CheckAddr(e.addr)
}

func entryError(what string, number int, err error) error {
	return fmt.Errorf("static: %s %d: %w", what, number, err)
}

// parseFile reads the lines of a file. One that is wrong spoils it all: half a list would look as
// if nodes had been taken out.
func parseFile(p []byte) ([]entry, error) {
	var entries []entry
	var faults []error
	parser := newParser()
	p = bytes.TrimPrefix(p, []byte("\ufeff")) // as some editors begin a file
	number := 0
	for line := range bytes.Lines(p) {
		number++
		s := strings.TrimSpace(withoutComment(string(line)))
		if s == "" {
			continue
		}
		e, err := parser.entry(s)
		switch {
		case err != nil && len(faults) == maxFaults:
			return nil, errors.Join(append(faults, errors.New("static: and more"))...)
		case err != nil:
			faults = append(faults, entryError("line", number, err))
		case len(entries) == maxEntries:
			return nil, entryError("line", number, fmt.Errorf("more than %d addresses", maxEntries))
		default:
			entries = append(entries, e)
		}
	}
	return entries, errors.Join(faults...)
}

// withoutComment cuts a line at a # that begins it or follows a space.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// A list is who is known, at one time. It does not change.
type list struct {
	order    []kith.ID
	addrs    map[kith.ID][]string
	replaced chan struct{} // closed when there is a newer list
}

// newList puts entries together, those of one ID in their order.
func newList(fixed, file []entry) (*list, error) {
	l := &list{addrs: make(map[kith.ID][]string), replaced: make(chan struct{})}
	for _, e := range slices.Concat(fixed, file) {
		addrs, known := l.addrs[e.id]
		switch {
		case slices.Contains(addrs, e.addr):
			continue
		case len(addrs) == discovery.MaxAddrs:
			return nil, fmt.Errorf("static: more than %d addresses of %s", discovery.MaxAddrs, e.id)
		case !known:
			l.order = append(l.order, e.id)
		}
		l.addrs[e.id] = append(addrs, e.addr)
	}
	return l, nil
}
