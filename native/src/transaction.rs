//! Transactions as revm looks at them, made of their canonical encoding, and recovering who signed them.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm_context::TxEnv;
use revm_context_interface::either::Either;
use revm_context_interface::transaction::{
    AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use crate::keccak::keccak256;
use crate::parallel;
use crate::rlp::{self, Fields, RlpError};
use crate::stop::Stop;

const LEGACY: u8 = 0;
const ACCESS_LIST: u8 = 1;
const FEE_MARKET: u8 = 2;
const BLOB: u8 = 3;
const SET_CODE: u8 = 4;

/// Half of the curve's order: a signature with a greater s is not valid (EIP-2).
const HALF_ORDER: U256 =
    U256::from_limbs([0xdfe9_2f46_681b_20a0, 0x5d57_6e73_57a4_501d, u64::MAX, 0x7fff_ffff_ffff_ffff]);

/// A decoded transaction.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// What revm executes. The caller is not set.
    pub environment: TxEnv,
    /// The encoded fields that the sender signed.
    payload: &'a [u8],
    /// The chain id that the sender of a legacy transaction signed after them (EIP-155).
    signed_chain_id: Option<U256>,
    /// Which of two points the signature means: 0 or 1.
    pub parity: u64,
    /// The signature.
    pub r: U256,
    /// The signature.
    pub s: U256,
}

impl Decoded<'_> {
    /// The hash that the sender signed. It is computed only here: the sender of most transactions is known before.
    pub fn signed_hash(&self) -> B256 {
        if self.environment.tx_type != LEGACY {
            let mut signed = vec![self.environment.tx_type];
            signed.extend(rlp::list_of(self.payload));
            return keccak256(signed);
        }
        let mut signed = self.payload.to_vec();
        if let Some(chain_id) = self.signed_chain_id {
            rlp::put_number(&mut signed, chain_id);
            signed.extend_from_slice(&[0x80, 0x80]);
        }
        keccak256(rlp::list_of(&signed))
    }
}

/// The transaction of its canonical encoding `raw`.
pub fn decode(raw: &[u8]) -> Result<Decoded<'_>, Stop> {
    let malformed = |_: RlpError| Stop::Unsupported("a transaction cannot be decoded");
    match raw.first() {
        Some(0xc0..) => decode_legacy(raw).map_err(malformed)?,
        Some(&type_ @ (ACCESS_LIST | FEE_MARKET | BLOB | SET_CODE)) => {
            decode_typed(type_, &raw[1..]).map_err(malformed)?
        }
        _ => Err(Stop::Unsupported("a transaction of a type that the native engine does not execute")),
    }
}

fn decode_legacy(raw: &[u8]) -> Result<Result<Decoded<'_>, Stop>, RlpError> {
    let content = rlp::decode_list(raw)?;
    let mut fields = Fields(content);
    let (nonce, price, gas_limit) = (fields.small()?, fields.number()?, fields.small()?);
    let (kind, value, data) = (kind(fields.bytes()?)?, fields.number()?, fields.bytes()?);
    let payload = &content[..content.len() - fields.0.len()];
    let (v, r, s) = (fields.number()?, fields.number()?, fields.number()?);
    let (chain_id, parity) = legacy_chain(v)?;
    let Some(gas_price) = price_of(price) else { return Ok(Err(PRICE)) };
    let Some(small_chain_id) = chain_id.map(u64::try_from).transpose().ok() else { return Ok(Err(CHAIN)) };
    let environment = TxEnv {
        tx_type: LEGACY,
        gas_limit,
        gas_price,
        kind,
        value,
        data: Bytes::copy_from_slice(data),
        nonce,
        chain_id: small_chain_id,
        ..bare()
    };
    Ok(Ok(Decoded { environment, payload, signed_chain_id: chain_id, parity, r, s }))
}

/// The chain id and the parity in the `v` of a legacy transaction (EIP-155).
fn legacy_chain(v: U256) -> Result<(Option<U256>, u64), RlpError> {
    if v == U256::from(27) || v == U256::from(28) {
        return Ok((None, u64::from(v == U256::from(28))));
    }
    let shifted = v.checked_sub(U256::from(35)).ok_or(RlpError)?;
    Ok((Some(shifted >> 1), u64::from(shifted.bit(0))))
}

fn decode_typed(type_: u8, body: &[u8]) -> Result<Result<Decoded<'_>, Stop>, RlpError> {
    let content = rlp::decode_list(body)?;
    let mut fields = Fields(content);
    let (chain_id, nonce) = (fields.number()?, fields.small()?);
    let tip = if type_ == ACCESS_LIST { None } else { Some(fields.number()?) };
    let (price, gas_limit) = (fields.number()?, fields.small()?);
    let (kind, value, data) = (kind(fields.bytes()?)?, fields.number()?, fields.bytes()?);
    let access_list = access_list(fields.list()?)?;
    let blob_fee = if type_ == BLOB { fields.number()? } else { U256::ZERO };
    let blob_hashes = if type_ == BLOB { hashes(fields.list()?)? } else { Vec::new() };
    let authorization_list = if type_ == SET_CODE { authorizations(fields.list()?)? } else { Vec::new() };
    let payload = &content[..content.len() - fields.0.len()];
    let (parity, r, s) = (fields.small()?, fields.number()?, fields.number()?);
    let prices = (price_of(price), tip.map_or(Some(0), price_of), price_of(blob_fee));
    let (Some(gas_price), Some(priority_fee), Some(max_fee_per_blob_gas)) = prices else { return Ok(Err(PRICE)) };
    let Ok(chain_id) = u64::try_from(chain_id) else { return Ok(Err(CHAIN)) };
    let environment = TxEnv {
        tx_type: type_,
        gas_limit,
        gas_price,
        kind,
        value,
        data: Bytes::copy_from_slice(data),
        nonce,
        chain_id: Some(chain_id),
        access_list,
        gas_priority_fee: tip.map(|_| priority_fee),
        blob_hashes,
        max_fee_per_blob_gas,
        authorization_list,
        ..bare()
    };
    Ok(Ok(Decoded { environment, payload, signed_chain_id: None, parity, r, s }))
}

/// revm multiplies a price by an amount of gas in 128 bits, without looking whether they suffice.
const PRICE: Stop = Stop::Unsupported("a gas price of more than 64 bits");
const CHAIN: Stop = Stop::Unsupported("a chain id of more than 64 bits");

fn price_of(number: U256) -> Option<u128> {
    u64::try_from(number).ok().map(u128::from)
}

fn bare() -> TxEnv {
    TxEnv {
        tx_type: LEGACY,
        caller: Address::ZERO,
        gas_limit: 0,
        gas_price: 0,
        kind: TxKind::Create,
        value: U256::ZERO,
        data: Bytes::new(),
        nonce: 0,
        chain_id: None,
        access_list: AccessList::default(),
        gas_priority_fee: None,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: Vec::new(),
    }
}

fn kind(to: &[u8]) -> Result<TxKind, RlpError> {
    match to.len() {
        0 => Ok(TxKind::Create),
        20 => Ok(TxKind::Call(Address::from_slice(to))),
        _ => Err(RlpError),
    }
}

fn access_list(mut fields: Fields<'_>) -> Result<AccessList, RlpError> {
    let mut items = Vec::new();
    while !fields.is_empty() {
        let mut entry = fields.list()?;
        let address = sized(entry.bytes()?).map(|bytes: [u8; 20]| Address::from(bytes))?;
        let mut keys = entry.list()?;
        let mut storage_keys = Vec::new();
        while !keys.is_empty() {
            storage_keys.push(B256::from(sized::<32>(keys.bytes()?)?));
        }
        items.push(AccessListItem { address, storage_keys });
    }
    Ok(AccessList(items))
}

fn hashes(mut fields: Fields<'_>) -> Result<Vec<B256>, RlpError> {
    let mut hashes = Vec::new();
    while !fields.is_empty() {
        hashes.push(B256::from(sized::<32>(fields.bytes()?)?));
    }
    Ok(hashes)
}

fn sized<const SIZE: usize>(bytes: &[u8]) -> Result<[u8; SIZE], RlpError> {
    bytes.try_into().map_err(|_| RlpError)
}

type RevmAuthorization = Either<SignedAuthorization, RecoveredAuthorization>;

fn authorizations(mut fields: Fields<'_>) -> Result<Vec<RevmAuthorization>, RlpError> {
    let mut authorizations = Vec::new();
    while !fields.is_empty() {
        let mut entry = fields.list()?;
        let authorization = Authorization {
            chain_id: entry.number()?,
            address: Address::from(sized::<20>(entry.bytes()?)?),
            nonce: entry.small()?,
        };
        let parity = u8::try_from(entry.small()?).map_err(|_| RlpError)?;
        let signed = SignedAuthorization::new_unchecked(authorization, parity, entry.number()?, entry.number()?);
        authorizations.push(Either::Left(signed));
    }
    Ok(authorizations)
}

/// The access list of pairs of an address and the slots under it.
pub fn access_list_of(entries: Vec<(Address, Vec<B256>)>) -> AccessList {
    AccessList(entries.into_iter().map(|(address, storage_keys)| AccessListItem { address, storage_keys }).collect())
}

/// A call as a transaction that would do the same, without a chain id.
#[allow(clippy::too_many_arguments)]
pub fn of_call(
    type_: u8,
    caller: Address,
    to: Option<Address>,
    gas_limit: u64,
    gas_price: u128,
    tip: u128,
    value: U256,
    data: Bytes,
    access_list: AccessList,
) -> TxEnv {
    TxEnv {
        tx_type: type_,
        caller,
        gas_limit,
        gas_price,
        kind: to.map_or(TxKind::Create, TxKind::Call),
        value,
        data,
        access_list,
        gas_priority_fee: (type_ == FEE_MARKET).then_some(tip),
        ..bare()
    }
}

/// Who signed `transaction`; None if nobody did, or with a signature whose s is too great.
pub fn sender_of(transaction: &Decoded<'_>) -> Option<Address> {
    signer_of(transaction.signed_hash(), transaction.parity, transaction.r, transaction.s)
}

/// Recover who signed each authorization, on all cores. revm would do it one after another, and four times as slowly: for
/// seconds in a block full of authorizations, without a look at the budget.
pub fn recover_authorities(transaction: &mut TxEnv) {
    if transaction.authorization_list.is_empty() {
        return;
    }
    let signed = std::mem::take(&mut transaction.authorization_list);
    transaction.authorization_list = parallel::map(signed, |authorization| match authorization {
        Either::Left(signed) => {
            let signer = signer_of(signed.signature_hash(), signed.y_parity().into(), signed.r(), signed.s());
            let authority = signer.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
            Either::Right(RecoveredAuthorization::new_unchecked(signed.strip_signature(), authority))
        }
        recovered => recovered,
    });
}

fn signer_of(digest: B256, parity: u64, r: U256, s: U256) -> Option<Address> {
    if s > HALF_ORDER || parity > 1 {
        return None;
    }
    let mut compact = [0u8; 64];
    compact[..32].copy_from_slice(&r.to_be_bytes::<32>());
    compact[32..].copy_from_slice(&s.to_be_bytes::<32>());
    let id = RecoveryId::try_from(parity as i32).ok()?;
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    Some(Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm_context_interface::transaction::AuthorizationTr;

    use crate::random_inputs::try_all;

    fn list(items: &[Vec<u8>]) -> Vec<u8> {
        rlp::list_of(&items.concat())
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rlp::put_bytes(&mut out, bytes);
        out
    }

    fn number(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        rlp::put_number(&mut out, U256::from(value));
        out
    }

    /// A transaction of `type_` with every list that it can have.
    fn transaction(type_: u8) -> Vec<u8> {
        let body = [number(90_000), text(&[0xaa; 20]), number(7), text(&[1; 60])];
        let signature = [text(&[0x11; 32]), text(&[0x22; 32])];
        if type_ == LEGACY {
            return list(&[&[number(3), number(1_000)], &body[..], &[number(2_709)], &signature[..]].concat());
        }
        let mut fields = vec![number(1_337), number(3)];
        if type_ != ACCESS_LIST {
            fields.push(number(1));
        }
        fields.push(number(1_000));
        fields.extend(body);
        fields.push(list(&[list(&[text(&[0xbb; 20]), list(&[text(&[5; 32]), text(&[6; 32])])])]));
        if type_ == BLOB {
            fields.extend([number(9), list(&[text(&[1; 32])])]);
        }
        if type_ == SET_CODE {
            let authorization = [number(0), text(&[0xcc; 20]), number(4), number(1)];
            fields.push(list(&[list(&[&authorization[..], &signature[..]].concat())]));
        }
        fields.push(number(1));
        fields.extend(signature);
        [vec![type_], list(&fields)].concat()
    }

    #[test]
    fn half_the_order_is_half_the_order() {
        let order = U256::from_be_bytes(secp256k1::constants::CURVE_ORDER);
        assert_eq!(HALF_ORDER, order >> 1);
    }

    #[test]
    fn an_authority_is_who_revm_says() {
        let key = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
        let authorization = Authorization { chain_id: U256::from(1_337), address: Address::repeat_byte(9), nonce: 4 };
        let digest = Message::from_digest(authorization.signature_hash().0);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(digest, &key).serialize_compact();
        let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..]));
        let (parity, order) = (i32::from(id) as u8, U256::from_be_bytes(secp256k1::constants::CURVE_ORDER));
        let signatures = [
            (parity, r, s),
            (1 - parity, r, s),
            (2, r, s),
            (1 - parity, r, order - s),
            (0, U256::ZERO, s),
            (0, order, s),
        ];
        let list: Vec<RevmAuthorization> = signatures
            .map(|(parity, r, s)| Either::Left(SignedAuthorization::new_unchecked(authorization.clone(), parity, r, s)))
            .into();
        let expected: Vec<_> = list.iter().map(AuthorizationTr::authority).collect();
        let mut transaction = TxEnv { authorization_list: list, ..bare() };
        recover_authorities(&mut transaction);
        assert!(transaction.authorization_list.iter().all(Either::is_right));
        let found: Vec<_> = transaction.authorization_list.iter().map(AuthorizationTr::authority).collect();
        assert_eq!(found, expected);
        assert!(found[0].is_some() && found[2].is_none() && found[3].is_none());
    }

    #[test]
    fn no_bytes_make_the_decoder_of_transactions_panic() {
        let valid: Vec<Vec<u8>> = (LEGACY..=SET_CODE).map(transaction).collect();
        for (type_, raw) in valid.iter().enumerate() {
            assert_eq!(usize::from(decode(raw).unwrap().environment.tx_type), type_);
        }
        let mut decoded = 0;
        try_all(&valid, |input| {
            if let Ok(transaction) = decode(input) {
                decoded += 1;
                if decoded % 64 == 0 {
                    sender_of(&transaction);
                }
            }
        });
        assert!(decoded > 0);
    }
}
