package mdns

import (
	"bytes"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write testdata anew")

// fixed is an advert that is the same in every run.
func fixed(t testing.TB) *advert {
	t.Helper()
	raw := []byte(strings.Repeat("a record of one hundred and more bytes. ", 6))
	return &advert{label: labelOf(kith.ID{9}), text: textOfBytes(raw), port: 4433}
}

func TestGoldenPackets(t *testing.T) {
	a := fixed(t)
	v4, v6 := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("fe80::7")
	for name, p := range map[string][]byte{
		"question":  buildQuestion(label{}),
		"probe":     buildQuestion(a.label),
		"answer-v4": buildAnswer(a, v4, ttlAnswer, nil),
		"answer-v6": buildAnswer(a, v6, ttlAnswer, nil),
		"goodbye":   buildAnswer(a, netip.Addr{}, 0, nil),
		"legacy":    buildAnswer(a, v4, ttlAnswer, &legacy{id: 0x1234, question: question{label: a.label, qtype: typeTXT}}),
	} {
		file := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.Dump(p)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(p); got != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
		var m dns.Msg // another's reading of it
		if err := m.Unpack(p); err != nil {
			t.Errorf("%s: miekg/dns: %v", name, err)
		}
	}
}

func TestAnswerAsOthersReadIt(t *testing.T) {
	a := fixed(t)
	var m dns.Msg
	if err := m.Unpack(buildAnswer(a, netip.MustParseAddr("192.168.1.7"), ttlAnswer, nil)); err != nil {
		t.Fatal(err)
	}
	id := string(a.label[:])
	want := []string{
		serviceName + "\t120\tIN\tPTR\t" + id + "." + serviceName,
		id + "." + serviceName + "\t120\tCLASS32769\tTXT\t",
		id + "." + serviceName + "\t120\tCLASS32769\tSRV\t0 0 4433 " + id + ".local.",
		id + ".local.\t120\tCLASS32769\tA\t192.168.1.7",
	}
	if len(m.Answer) != len(want) {
		t.Fatalf("%d records, want %d", len(m.Answer), len(want))
	}
	for i, rr := range m.Answer {
		if !strings.HasPrefix(rr.String(), want[i]) {
			t.Errorf("record %d is %q, want %q", i, rr, want[i])
		}
	}
}

// The largest record there is fits, with everything around it.
func TestLargestRecordFits(t *testing.T) {
	a := &advert{label: fixed(t).label, text: textOfBytes(make([]byte, discovery.MaxSize)), port: 4433}
	for _, addr := range []string{"192.168.1.7", "fe80::7"} {
		p := buildAnswer(a, netip.MustParseAddr(addr), ttlAnswer, nil)
		var m message
		if err := m.parse(p); err != nil || len(m.answers) != 1 || len(m.answers[0].raw) != discovery.MaxSize {
			t.Errorf("parse(answer of %d bytes with the largest record) = %v, %d answers", len(p), err, len(m.answers))
		}
		t.Logf("with %s: %d bytes of %d", addr, len(p), maxPacket)
	}
}

func TestQuestionsAreRead(t *testing.T) {
	a := fixed(t)
	ask := func(name string, qtype, class uint16) []byte {
		m := new(dns.Msg)
		m.SetQuestion(name, qtype)
		m.Question[0].Qclass = class
		p, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	instance := string(a.label[:]) + "." + serviceName
	for _, c := range []struct {
		p    []byte
		want []question
	}{
		{ask(serviceName, dns.TypePTR, classIN), []question{{qtype: typePTR}}},
		{ask(strings.ToUpper(serviceName), dns.TypePTR, classIN|topBit), []question{{qtype: typePTR, unicast: true}}},
		{ask(serviceName, dns.TypeANY, classANY), []question{{qtype: typeANY}}},
		{ask(serviceName, dns.TypeTXT, classIN), nil},
		{ask(serviceName, dns.TypePTR, dns.ClassCHAOS), nil},
		{ask(strings.ToUpper(instance), dns.TypeSRV, classIN), []question{{label: a.label, qtype: typeSRV}}},
		{ask("x."+serviceName, dns.TypePTR, classIN), nil},
		{ask("_http._tcp.local.", dns.TypePTR, classIN), nil},
		{ask("x."+instance, dns.TypePTR, classIN), nil},
	} {
		var m message
		if err := m.parse(c.p); err != nil || len(m.questions) != len(c.want) || (len(c.want) == 1 && m.questions[0] != c.want[0]) {
			t.Errorf("parse(%q) = %v, questions %v, want %v", c.p, err, m.questions, c.want)
		}
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	p := buildAnswer(fixed(t), netip.MustParseAddr("192.168.1.7"), ttlAnswer, nil)
	var m message
	if got := testing.AllocsPerRun(100, func() {
		if err := m.parse(p); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("parse allocates %v times, want 0", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(buildAnswer(fixed(f), netip.MustParseAddr("fe80::7"), ttlAnswer, nil))
	f.Add(buildQuestion(label{}))
	f.Add(looping(buildAnswer(fixed(f), netip.Addr{}, ttlAnswer, nil)))
	f.Fuzz(func(t *testing.T, p []byte) {
		var m message
		before := bytes.Clone(p)
		err := m.parse(p)
		if !bytes.Equal(p, before) {
			t.Fatal("parse changed the packet")
		}
		if len(m.buf) > len(p) || cap(m.buf) > 2*maxPacket {
			t.Fatalf("parse of %d bytes holds %d", len(p), cap(m.buf))
		}
		if err != nil {
			return
		}
		for _, a := range m.answers {
			again := &advert{label: a.label, text: textOfBytes(a.raw), port: 1}
			var m2 message
			if err := m2.parse(buildAnswer(again, netip.Addr{}, a.ttl, nil)); err != nil {
				t.Fatalf("parse(what was parsed, built again) = %v", err)
			}
			if len(m2.answers) != 1 || !bytes.Equal(m2.answers[0].raw, a.raw) || m2.answers[0].label != a.label {
				t.Fatalf("parse(what was parsed, built again) = %v, want %v", m2.answers, a)
			}
		}
	})
}

func TestNearby(t *testing.T) {
	l := &link{linkInfo: linkInfo{linkKey: linkKey{1, false}, prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	for addr, want := range map[string]bool{
		"quic://10.0.0.1:1":           true,
		"tcp://192.168.7.7:4433":      true,
		"quic://100.64.1.1:1":         true, // behind a provider's NAT, or an overlay network
		"quic://127.0.0.1:1":          true, // a node on the same host
		"quic://[fe80::1]:1":          true,
		"quic://[fe80::1%eth0]:1":     true,
		"quic://[fd00::1]:1":          true,
		"quic://[::ffff:10.0.0.1]:1":  true,
		"quic://198.51.100.9:1":       true, // on the link
		"quic://198.51.101.9:1":       false,
		"quic://8.8.8.8:53":           false,
		"quic://[2001:db8::1]:1":      false,
		"quic://example.org:443":      false,
		"quic://224.0.0.251:5353":     false,
		"quic://255.255.255.255:1":    false,
		"unix:///run/x":               false,
		"quic://0.0.0.0:1":            false,
		"quic://10.0.0.1":             false,
		"wss://10.0.0.1:1/some/where": true,
	} {
		if got := nearby(addr, []*link{l}); got != want {
			t.Errorf("nearby(%q) = %v, want %v", addr, got, want)
		}
	}
}

// The server of hashicorp/mdns is given nothing to say but what the engine would say itself.
func TestResponderSaysOnlyWhatIsAsked(t *testing.T) {
	virtually(t, func(t *testing.T, n *lan) {
		h, id := n.node(), newIdentity()
		advertise(t, h.d, id)
		z := zone{h.d}
		name := id.ID().String() + "." + serviceName
		q := dns.Question{Name: strings.ToUpper(name), Qtype: dns.TypePTR, Qclass: classIN}
		h.d.setResponder(true)
		if rrs := z.Records(q); rrs != nil {
			t.Errorf("Records() = %v with no question on the link, want none", rrs)
		}
		ask := buildQuestion(labelOf(id.ID()))
		n.inject(inbound{from: netip.MustParseAddrPort("192.0.2.1:4000"), index: 2, ttl: 1}, ask)
		time.Sleep(time.Millisecond)
		if rrs := z.Records(q); rrs != nil {
			t.Errorf("Records() = %v after a question from off the link, want none", rrs)
		}
		n.inject(inbound{from: netip.MustParseAddrPort("10.1.9.9:4000"), index: 2, ttl: 1}, ask)
		time.Sleep(time.Millisecond)
		if rrs := z.Records(q); len(rrs) != 4 {
			t.Errorf("Records() = %v after a question, want PTR, TXT, SRV, A", rrs)
		}
		if rrs := z.Records(q); rrs != nil {
			t.Errorf("Records() = %v a second time, want none", rrs)
		}
		for _, q := range []dns.Question{
			{Name: serviceName, Qtype: dns.TypePTR, Qclass: classIN},
			{Name: "x." + serviceName, Qtype: dns.TypePTR, Qclass: classIN},
			{Name: name, Qtype: dns.TypePTR, Qclass: dns.ClassCHAOS},
		} {
			n.inject(inbound{from: netip.MustParseAddrPort("10.1.9.9:4000"), index: 2, ttl: 1}, ask)
			time.Sleep(time.Millisecond)
			if rrs := z.Records(q); rrs != nil {
				t.Errorf("Records(%v) = %v, want none", q, rrs)
			}
			time.Sleep(time.Second)
		}
	})
}

// A responder that does not do its work is replaced by the engine.
func TestEngineAnswersForADeafResponder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newLAN(t, 1)
		defer n.closeAll()
		h, id := n.node(), newIdentity()
		advertise(t, h.d, id)
		time.Sleep(time.Minute)
		h.d.setResponder(true)
		asker := netip.MustParseAddrPort("10.1.9.9:4000")
		answered := make(chan time.Duration, 1)
		start := time.Now()
		n.stray = func(_ []byte, _, to netip.AddrPort) {
			if to == asker {
				answered <- time.Since(start)
			}
		}
		n.inject(inbound{from: asker, index: 2, ttl: 1}, buildQuestion(labelOf(id.ID())))
		if d := <-answered; d > 25*time.Millisecond {
			t.Errorf("answered after %v, want about %v", d, takeOver)
		}
	})
}
