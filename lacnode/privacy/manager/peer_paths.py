"""The paths of the node API that Orion and Tessera have in common. The bodies of the requests differ."""

PUSH_PATH, PUSH_GROUP_PATH, PARTY_INFO_PATH = "/push", "/pushPrivacyGroup", "/partyinfo"
