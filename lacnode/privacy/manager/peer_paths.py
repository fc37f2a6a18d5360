"""The paths of a manager's node API that Orion and Tessera have in common; what is sent there differs."""

PUSH, PUSH_GROUP, PARTY_INFO = "/push", "/pushPrivacyGroup", "/partyinfo"
