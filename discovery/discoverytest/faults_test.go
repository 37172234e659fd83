package discoverytest

// A fault is one rule that the reference bus breaks.
type fault string

// noFault keeps all rules.
const noFault fault = ""

const (
	advertiserCloseFails fault = "a second Advertiser.Close fails"
	advertisersDeaf      fault = "a node that advertises hears nobody else"
	advertisesAfterClose fault = "Advertise works on a closed Discovery"
	backlog              fault = "a Browser hands out every change"
	browsersShareClose   fault = "closing one Browser closes all"
	changedIsFound       fault = "a change is reported as Found"
	closeLeavesNext      fault = "Browser.Close leaves Next blocked"
	closeSparesBrowsers  fault = "Discovery.Close leaves Browsers open"
	ctxEndsAdvertising   fault = "the end of Advertise's ctx ends the advertising"
	ctxEndsBrowsing      fault = "the end of Browse's ctx is the end"
	expiredStays         fault = "nothing expires"
	floodEvicts          fault = "strangers evict those that are known"
	foreignReported      fault = "an injected record of another network is reported"
	forgedTaken          fault = "signatures are not checked"
	garbageDeafens       fault = "a bad record ends the hearing"
	goodbyeUnheard       fault = "goodbyes are not sent"
	injectionUnheard     fault = "what is injected is not heard, so the setup is wrong"
	lateBlind            fault = "a second Browser does not hear of who is known"
	leaksAdvertiser      fault = "each Advertiser leaves a goroutine behind"
	lostForGood          fault = "after Lost there is no Found"
	lostIsGoodbye        fault = "Lost has the goodbye's record"
	mangled              fault = "records lose their services"
	networksMixed        fault = "nodes of other networks are reported"
	newcomerBlind        fault = "a newcomer does not hear of who was there before"
	nextIgnoresCtx       fault = "Next ignores ctx"
	nextLosesEvent       fault = "Next loses an event when ctx ends"
	oneAdvertiserOnly    fault = "a second Advertise is not heard"
	ownHidden            fault = "own records are not reported"
	replayTaken          fault = "sequences are not looked at"
	replayTakenAfter     fault = "sequences are forgotten at a goodbye"
	secondCloseFails     fault = "a second Discovery.Close fails"
	staleGoodbyeTaken    fault = "sequences of goodbyes are not looked at"
	suspectIgnored       fault = "Suspect does nothing"
	suspectKills         fault = "Suspect does not ask"
	updateUnchecked      fault = "Update takes anything"
	updateUnheard        fault = "Update is not sent"
	updatesAfterClose    fault = "Update works on a closed Advertiser"
	silentCloseFails     fault = "Close without a goodbye ends the whole node"
	strangersSuspected   fault = "suspicion of a stranger hits all"
	closeTakesAll        fault = "closing a node deafens all others"
	expiredTaken         fault = "expiry of what is injected is not looked at"
)

// caught lists, for each fault, cases that are meant to find it.
var caught = map[fault][]string{
	advertiserCloseFails: {"AdvertiserClose", "AdvertiserCloseInSilence"},
	advertisersDeaf:      {"BothWays"},
	advertisesAfterClose: {"DiscoveryClose"},
	backlog:              {"SlowReaderGetsTheLatest", "CameAndWentUnseen", "WentAndCameUnseen"},
	browsersShareClose:   {"BrowsersAreIndependent"},
	changedIsFound:       {"Changed"},
	closeLeavesNext:      {"BrowserClose"},
	closeSparesBrowsers:  {"DiscoveryClose"},
	closeTakesAll:        {"CloseLeavesOthers"},
	ctxEndsAdvertising:   {"CtxEndsOnlyTheCall"},
	ctxEndsBrowsing:      {"CtxEndsOnlyTheCall"},
	expiredStays:         {"Expired"},
	expiredTaken:         {"ExpiredInjected"},
	floodEvicts:          {"Flood"},
	foreignReported:      {"OtherNetworkInjected"},
	forgedTaken:          {"Forged"},
	garbageDeafens:       {"Garbage"},
	goodbyeUnheard:       {"Goodbye", "FoundAgain"},
	injectionUnheard:     {"InjectedIsHeard"},
	lateBlind:            {"FoundByLateBrowser"},
	leaksAdvertiser:      {"LeavesNothing"},
	lostForGood:          {"FoundAgain"},
	lostIsGoodbye:        {"Goodbye"},
	mangled:              {"Found"},
	networksMixed:        {"OtherNetwork"},
	newcomerBlind:        {"FoundByLateBrowser"},
	nextIgnoresCtx:       {"NextHonoursCtx"},
	nextLosesEvent:       {"NextHonoursCtx"},
	oneAdvertiserOnly:    {"SeveralAdvertisers", "ManyAtOnce"},
	ownHidden:            {"OwnRecord"},
	replayTaken:          {"Replayed"},
	replayTakenAfter:     {"ReplayedAfterGoodbye"},
	secondCloseFails:     {"DiscoveryClose"},
	silentCloseFails:     {"AdvertiserCloseInSilence"},
	staleGoodbyeTaken:    {"StaleGoodbye"},
	strangersSuspected:   {"SuspectStrangers"},
	suspectIgnored:       {"SuspectTheDead"},
	suspectKills:         {"SuspectTheLiving"},
	updateUnchecked:      {"UpdateRefused"},
	updateUnheard:        {"Changed"},
	updatesAfterClose:    {"AdvertiserClose"},
}
