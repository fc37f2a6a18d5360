"""The paths of a manager's node API that Orion and Tessera have in common; what is sent there differs."""

PUSH_PATH, PUSH_GROUP_PATH, PARTY_INFO_PATH = "/push", "/pushPrivacyGroup", "/partyinfo"
