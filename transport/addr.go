package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kith-go/kith"
)

// An Addr says where a node listens, and who must answer there.
// [ParseAddr] and [Addr.String] are inverse: quic://ID@host:port,
// memory://ID@name, unix://ID@/path. It is comparable.
type Addr struct {
	// Scheme names the transport, lower-case; empty means the one at hand.
	Scheme string
	// ID is who must answer, zero for not given.
	ID kith.ID
	// Host is a name, or host:port where the transport has ports. An IPv6
	// address stands in brackets, with its zone as it is: [fe80::1%eth0]:4433.
	Host string
	// Path is what follows the host, beginning with a slash; all of a unix
	// socket's address is path.
	Path string
}

// MaxAddr is the length in bytes above which ParseAddr refuses a text.
const MaxAddr = 1024

// ParseAddr reads an address. The scheme and the ID may be missing: ":4433",
// "localhost:4433", "ID@host:1", "/run/app.sock" are addresses too. It takes
// everything literally: nothing is %-decoded, and there are no queries. What is
// not UTF-8, or has a space or a control character, is refused.
func ParseAddr(s string) (Addr, error) {
	a, err := parseAddr(s)
	if err != nil {
		return Addr{}, fmt.Errorf("parse address %s: %w", quoteCut(s), err)
	}
	return a, nil
}

func parseAddr(s string) (a Addr, err error) {
	if len(s) > MaxAddr {
		return a, fmt.Errorf("longer than %d bytes", MaxAddr)
	}
	if !utf8.ValidString(s) {
		return a, errors.New("not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return a, errors.New("space or control character")
	}
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if !validScheme(scheme) {
			return a, fmt.Errorf("scheme %q", scheme)
		}
		a.Scheme, rest = scheme, after
	}
	authority := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, a.Path = rest[:i], rest[i:]
	}
	if id, host, ok := strings.Cut(authority, "@"); ok {
		if a.ID, err = kith.ParseID(id); err != nil {
			return a, err
		}
		if a.ID.IsZero() {
			return a, errors.New("zero id")
		}
		authority = host
	}
	a.Host = authority
	if a.Host == "" && a.Path == "" {
		return a, errors.New("no host")
	}
	return a, checkHost(a.Host)
}

func validScheme(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// checkHost refuses what cannot be told apart later: a bare IPv6 address,
// whose last group looks like a port, and brackets around anything else.
func checkHost(h string) error {
	if strings.ContainsRune(h, '@') {
		return errors.New("two @ signs")
	}
	if strings.HasPrefix(h, "[") {
		addr, port, ok := strings.Cut(h[1:], "]")
		if !ok {
			return errors.New("missing ]")
		}
		if strings.Contains(addr, "[") {
			return errors.New("stray bracket") // in the zone
		}
		if ip, err := netip.ParseAddr(addr); err != nil || !ip.Is6() {
			return fmt.Errorf("no IPv6 address in brackets: %q", addr)
		}
		if port != "" {
			return checkPort(strings.TrimPrefix(port, ":"), strings.HasPrefix(port, ":"))
		}
		return nil
	}
	if strings.ContainsAny(h, "[]") {
		return errors.New("stray bracket")
	}
	if _, port, ok := strings.Cut(h, ":"); ok {
		if strings.Contains(port, ":") {
			return errors.New("IPv6 address without brackets")
		}
		return checkPort(port, true)
	}
	return nil
}

func checkPort(port string, colon bool) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || !colon || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("port %q", port)
	}
	return nil
}

// String returns the address in the form that [ParseAddr] reads.
func (a Addr) String() string {
	var b strings.Builder
	if a.Scheme != "" {
		b.WriteString(a.Scheme)
		b.WriteString("://")
	}
	if !a.ID.IsZero() {
		b.WriteString(a.ID.String())
		b.WriteByte('@')
	}
	b.WriteString(a.Host)
	b.WriteString(a.Path)
	return b.String()
}

// WithID returns a with its ID replaced.
func (a Addr) WithID(id kith.ID) Addr {
	a.ID = id
	return a
}

// SplitHostPort returns the host, without brackets, and the port of a.Host;
// the port is 0 if there is none.
func (a Addr) SplitHostPort() (host string, port uint16) {
	h, p, err := net.SplitHostPort(a.Host)
	if err != nil {
		return strings.Trim(a.Host, "[]"), 0
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return h, 0
	}
	return h, uint16(n)
}

// quoteCut quotes text from outside for an error, cut to a readable length.
func quoteCut(s string) string {
	if len(s) > 128 {
		return strconv.Quote(s[:128]) + "..."
	}
	return strconv.Quote(s)
}
