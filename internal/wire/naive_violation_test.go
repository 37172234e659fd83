package wire_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/kith-go/kith/transport/admit"
)

// What the document calls a violation ends the connection, as section 11 and
// section 13 say.
func TestNaiveViolations(t *testing.T) {
	s := newNaiveServer(t, admit.Anyone())
	const invalid, internal = 3, 13
	number := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	chat := naiveMethod(naiveBidi, "Chat", naiveJSON)
	for _, tt := range []struct {
		name   string
		commit func(c *naiveClient)
		code   uint32
		reason string
	}{
		{"an unknown lane frame", func(c *naiveClient) { c.sendLane(14, nil) }, invalid, "lane: "},
		{"a lane frame of type 0", func(c *naiveClient) { c.sendLane(0, nil) }, invalid, "lane: "},
		{"a second HELLO", func(c *naiveClient) { c.hello(1) }, invalid, "lane: "},
		{"a PING of 7 bytes", func(c *naiveClient) { c.sendLane(naivePING, make([]byte, 7)) }, invalid, "lane: "},
		{"bytes behind a last value", func(c *naiveClient) { c.sendLane(naiveCANCEL, []byte{1, 1}) }, invalid, "lane: "},
		{"a long uvarint", func(c *naiveClient) { c.sendLane(naiveCANCEL, []byte{0x81, 0}) }, invalid, "lane: "},
		{"a long lane frame", func(c *naiveClient) {
			c.frame(naiveDATA, 0, []byte{200, 0, 0x40, 1})
		}, invalid, "lane: "},
		{"an ANSWER to nobody", func(c *naiveClient) { c.sendLane(naiveANSWER, []byte{0, 0}) }, invalid, "lane: "},
		{"a second DONE", func(c *naiveClient) {
			c.sendLane(naiveDONE, nil)
			c.sendLane(naiveDONE, nil)
		}, invalid, "lane: "},
		{"a slot that is in use", func(c *naiveClient) {
			id := c.call(naiveMethod(naiveUnary, "Hang", naiveJSON), `""`)
			<-s.hanging
			c.sendLane(naiveCALL, naiveMethod(naiveUnary, "Echo", naiveRaw).append(number(id+8192)))
		}, invalid, "lane: "},
		{"a stream call on the lane", func(c *naiveClient) { c.sendLane(naiveCALL, chat.append(number(0))) }, invalid, "lane: "},
		{"kind 6", func(c *naiveClient) {
			c.sendLane(naiveCALL, naiveMethod(6, "Echo", naiveRaw).append(number(0)))
		}, invalid, "lane: "},
		{"a reserved flag of a head", func(c *naiveClient) {
			c.sendLane(naiveCALL, naiveMethod(naiveUnary|0x80, "Echo", naiveRaw).append(number(0)))
		}, invalid, "lane: "},
		{"a malformed OPEN", func(c *naiveClient) {
			c.naiveMux.open().write(naiveStreamFrame(naiveSOPEN, "\x00\x00"), false)
		}, invalid, "stream: "},
		{"a stream that begins with MESSAGE", func(c *naiveClient) { c.naiveMux.open().message("x") }, invalid, "stream: "},
		{"a number that is being served", func(c *naiveClient) {
			c.stream(chat, false)
			c.numbered = 0
			c.stream(chat, false)
		}, invalid, "stream: "},

		{"an unknown mux frame", func(c *naiveClient) { c.frame(0x70, 0, nil) }, internal, ""},
		{"a flag that WINDOW does not have", func(c *naiveClient) { c.frame64(naiveWINDOW|naiveEND, 0, 1) }, internal, ""},
		{"a RESET of 3 bytes", func(c *naiveClient) { c.frame(naiveRESET|naiveOPEN, 1, make([]byte, 3)) }, internal, ""},
		{"a gap in streams", func(c *naiveClient) { c.frame(naiveDATA|naiveOPEN, 3, nil) }, internal, ""},
		{"a stream of the other side's", func(c *naiveClient) { c.frame(naiveDATA|naiveOPEN, 2, nil) }, internal, ""},
		{"DATA of a stream never opened", func(c *naiveClient) { c.frame(naiveDATA, 1, nil) }, internal, ""},
		{"DATA behind END", func(c *naiveClient) {
			st, _ := c.stream(chat, true)
			c.frame(naiveDATA, st.id, []byte("x"))
		}, internal, ""},
		{"DATA above 64 KiB", func(c *naiveClient) {
			c.frame(naiveDATA|naiveOPEN, 1, make([]byte, 64<<10+1))
		}, internal, ""},
		{"DATA above the credit", func(c *naiveClient) {
			st, _ := c.stream(naiveMethod(naiveServerStream, "Count", naiveJSON), false, "-1")
			<-s.hanging // the handler reads no more
			for range 4 {
				c.frame(naiveDATA, st.id, bytes.Repeat([]byte{1}, 64<<10))
			}
		}, internal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t, 1)
			c.welcome()
			tt.commit(c)
			for c.end == nil {
				c.step()
			}
			if c.end.code != tt.code || !strings.HasPrefix(c.end.reason, tt.reason) {
				t.Errorf("the connection is closed with %d, %q, want %d, %q...", c.end.code, c.end.reason, tt.code, tt.reason)
			}
		})
	}
}
