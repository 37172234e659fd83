package mdns

import "time"

// Stats says what a [Discovery] did so far, for diagnosis: nothing heard while packets are sent points to a
// network that does not carry multicast. Packets of hashicorp/mdns are not counted.
type Stats struct {
	Links     []string  // what is used, as "eth0 IPv4"; none: nothing can be sent or heard
	Responder bool      // hashicorp/mdns answers beside us
	LastHeard time.Time // when another node's record came last; zero if never

	PacketsSent     uint64 // by our sockets
	BytesSent       uint64 // of mDNS, without the headers of UDP and IP
	PacketsReceived uint64 // what else lives on the group included
	BytesReceived   uint64 // in those packets
	QuestionsSent   uint64 // who is there?
	QuestionsHeard  uint64 // the same, from others and by multicast or not
	Probes          uint64 // questions whether one node is still there
	Refused         uint64 // packets and records that broke a rule
	Limited         uint64 // answers not given, as too many were asked for
}

func (e *engine) report() Stats {
	s := e.stats
	s.Responder = e.responder
	for _, l := range e.links {
		family := " IPv4"
		if l.v6 {
			family = " IPv6"
		}
		s.Links = append(s.Links, l.name+family)
	}
	return s
}
