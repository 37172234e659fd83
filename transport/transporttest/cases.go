package transporttest

// groups lists all cases. A test of this package holds every rule that they
// name against the source of package transport.
var groups = []group{
	{name: "Addr", cases: addrCases},
	{name: "Dial", cases: dialCases},
	{name: "Accept", cases: acceptCases},
	{name: "Identity", cases: identityCases},
	{name: "Stream", cases: streamCases, reads: true},
	{name: "Data", cases: dataCases, reads: true},
	{name: "Reset", cases: resetCases, reads: true},
	{name: "Close", cases: closeCases, reads: true},
	{name: "Deadline", cases: deadlineCases, reads: true},
	{name: "Flow", cases: flowCases},
	{name: "Limit", cases: limitCases},
	{name: "ConnClose", cases: connCloseCases, reads: true},
	{name: "Transport", cases: transportCases},
	{name: "Leak", cases: leakCases},
	{name: "Garbage", cases: garbageCases},
}
